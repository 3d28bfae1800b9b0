"""The report over several data sets: one page, Markdown, LaTeX, CSV, a figure and across.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from segbench.artifacts.differences import NOTE, WEAKENS
from segbench.comparison import across, across_wording, formats, plots, style
from segbench.comparison.across import DataSet
from segbench.comparison.across_tables import (
    difference_table,
    outcome_table,
    pair_table,
    score_table,
)
from segbench.comparison.audit import AuditEntry, audit
from segbench.comparison.comparison import resample_study
from segbench.comparison.content import jsonable, write_json
from segbench.comparison.cross_validation import cross_validation, folds_of, tested_share
from segbench.comparison.measures import MEASURES, definition, entrants_by
from segbench.comparison.options import Options
from segbench.comparison.study import Study
from segbench.comparison.wording import join, level
from segbench.errors import DataError
from segbench.system.escaping import latex, markdown, one_line
from segbench.system.figures import label as figure_label
from segbench.system.storage import replacing_all, write_text


def compare_studies(studies: Sequence[Study], options: Options) -> dict[str, Any]:
    """Compares the models that several studies share.

    Returns:
        A dict that `json` can write; scores are fractions.

    Raises:
        DataError: the studies share no model, or two of them are scored on the same images.
    """
    labels = [(study, study.label_of(options.baseline)) for study in studies]
    known = [label for study, label in labels if label in study.runs]
    options = replace(options, baseline=known[0] if known else options.baseline)
    _refuse(studies, options.baseline)
    sets = [
        DataSet(study.path.name, resample_study(entrants_by(study, options.metric), study, options))
        for study in studies
    ]
    whole = across.complete(sets)
    folds = None
    if folds_of(studies) is not None:
        folds = cross_validation(sets, tested_share(studies), options.confidence)
    found: dict[str, Any] = {
        "schema_version": 2,
        "studies": [entry.name for entry in sets],
        "metric": options.metric,
        "approximate": MEASURES[options.metric].is_approximate,
        "confidence": options.confidence,
        "replicates": options.replicates,
        "baseline": options.baseline,
        "options": options.words(),
        "scores": _scores(sets, options.confidence),
        "cross_validation": folds,
        "missing": across.missing(sets),
        "ranks": across.ranks(sets, whole, 1 - options.confidence) if len(whole) > 1 else None,
        "pairs": across.pairs(sets, options.confidence),
        "left_out": [
            {"path": str(entry.path.relative_to(study.path.parent)), "reason": entry.reason,
             "broken": entry.broken}
            for study in studies for entry in study.left_out
        ],
        "resampling": {entry.name: entry.drawn.plan.note for entry in sets},
        "audits": {
            study.path.name: _doubts(study, studies[:number], options)
            for number, study in enumerate(studies)
        },
    }  # fmt: skip
    sentence, found["evidence"] = (
        across_wording.of_folds(found) if folds else across_wording.of_sets(found)
    )
    found["verdict"] = sentence + across_wording.invalid(found["audits"])
    cautions = {} if folds else {entry.name: entry.drawn.plan.caution for entry in sets}
    said = [f"On {name}: {caution}" for name, caution in cautions.items() if caution]
    found["evidence"] = " ".join([found["evidence"], *said]).strip()
    return jsonable(found)


def _doubts(study: Study, earlier: Sequence[Study], options: Options) -> list[dict[str, Any]]:
    """What the audit of a study finds beyond notes, and trainings that it shares with others."""
    found = [entry for entry in audit(study.runs, options.varies) if entry.grade != NOTE]
    shared = {
        label: f"seed {join(sorted({str(run.seed) for run in both}))} as in {other.path.name}"
        for other in earlier
        for label, runs in study.runs.items()
        if (both := [run for run in runs if any(map(run.repeats, other.runs.get(label, ())))])
    }
    if shared:
        why = "the same trainings were scored on both data sets, so a lucky one counts twice"
        found.append(AuditEntry("shared trainings", WEAKENS, why, shared))
    return [asdict(entry) for entry in found]


def _refuse(studies: Sequence[Study], baseline: str | None) -> None:
    names = join([study.path.name for study in studies])
    shared = set.intersection(*(set(study.runs) for study in studies))
    if not shared:
        has = "; ".join(f"{study.path.name} has {', '.join(study.runs)}" for study in studies)
        raise DataError(f"studies={names}: they share no model ({has})")
    images: dict[str, str] = {}
    for study in studies:
        print_ = study.first.data.fingerprint.get(study.first.data.split, "")
        if print_ in images:
            raise DataError(
                f"studies: {images[print_]} and {study.path.name} are scored on the same images; "
                "each study must be another data set (one study with all runs compares them)"
            )
        images[print_] = study.path.name
    if baseline is not None and all(baseline not in study.runs for study in studies):
        raise DataError(f"baseline={baseline} has no finished run in {names}")


def _scores(sets: Sequence[DataSet], confidence: float) -> list[dict[str, Any]]:
    every = list(dict.fromkeys(label for entry in sets for label in entry.labels))
    rows = []
    for label in every:
        on = {
            entry.name: entry.drawn.model(entry.index(label)).summary(-1, confidence)
            | {"seeds": entry.seeds(label)}
            for entry in sets
            if label in entry.labels
        }
        rows.append({"label": label, "data": on})
    return rows


def rank_figure(found: Mapping[str, Any]) -> Figure | None:
    """Critical-difference diagram: average ranks with intervals, and the bar where there is one."""
    ranks = found["ranks"]
    if ranks is None:
        return None
    rows = sorted(ranks["models"], key=lambda row: row["rank"])
    with style.style():
        figure = Figure(figsize=(style.WIDTH, 1.1 + 0.32 * len(rows)))
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            color = plots.COLORS[place % len(plots.COLORS)]
            axes.plot(row["interval"], [place, place], color=color, linewidth=2)
            axes.plot(row["rank"], place, "o", color=color, markersize=7)
        if ranks["critical_difference"] is not None:
            best = rows[0]["rank"]
            axes.plot([best, best + ranks["critical_difference"]], [-0.7, -0.7], color=style.INK,
                      linewidth=3, marker="|")  # fmt: skip
            axes.text(best, -0.85, f"critical difference {ranks['critical_difference']:.2f}",
                      fontsize=8, va="bottom")  # fmt: skip
        axes.set_yticks(range(len(rows)), [figure_label(row["label"]) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -1.5 if ranks["critical_difference"] is not None else -0.5)
        axes.set_xlim(0.9, len(rows) + 0.1)
        axes.set_xlabel(f"average rank over {len(found['studies'])} data sets (1 = best), "
                        f"{level(found)}")  # fmt: skip
    return figure


def write_report(folder: Path, found: Mapping[str, Any]) -> Path:
    """Writes everything below `folder`; returns the page."""
    figure = rank_figure(found)
    svg = Markup(style.inline_svg(figure)) if figure is not None else None
    with replacing_all(folder) as draft:
        (draft / "figures").mkdir()
        if figure is not None:
            style.save(figure, draft / "figures/ranks")
        write_json(found, draft / "across.json")
        formats.write_csv(score_table(found), draft / "scores.csv")
        formats.write_csv(pair_table(found), draft / "pairs.csv")
        write_text(draft / "report.md", markdown_report(found))
        write_text(draft / "tables.tex", latex_tables(found))
        write_text(draft / "index.html", _page(found, svg))
    return folder / "index.html"


def _page(found: Mapping[str, Any], svg: Markup | None) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: one_line(value) if type(value) is str else value,
    )
    return environment.get_template("across.html.j2").render(
        c=found, scores=score_table(found), pairs=pair_table(found), svg=svg, method=method(found)
    )


def method(found: Mapping[str, Any]) -> str:
    """What the numbers are."""
    notes = " ".join(f"{name}: {note}" for name, note in found["resampling"].items())
    return (
        f"{definition(found['metric'])} Each data set is resampled by itself. {notes} "
        f"{found['replicates']:,} replicates. P values corrected by Holm over all pairs and data "
        "sets. Probability of improvement and average ranks: each data set counts the same; their "
        "intervals redraw seeds and images within each. Nothing here speaks of data sets that were "
        "not used."
    )


def markdown_report(found: Mapping[str, Any]) -> str:
    """The comparison for a README."""
    parts = [f"# {markdown(', '.join(found['studies']))}", f"**{markdown(found['verdict'])}**"]
    parts += [markdown(found["evidence"]), "## Data sets", formats.markdown_of(score_table(found))]
    parts += ["## Pairs", formats.markdown_of(pair_table(found)), markdown(method(found))]
    parts += [f"- *{entry['grade']}* ({markdown(name)}): {markdown(_sentence(entry))}"
              for name, entries in found["audits"].items() for entry in entries]  # fmt: skip
    parts += [f"- *left out*: {markdown(entry['path'] + ': ' + entry['reason'])}"
              for entry in found["left_out"]]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _sentence(entry: Mapping[str, Any]) -> str:
    return AuditEntry(**entry).sentence()


def latex_tables(found: Mapping[str, Any]) -> str:
    """Scores, outcomes and differences with booktabs."""
    name = "-".join(found["studies"])
    caption = f"{found['metric']} (%) with {level(found)} and average rank."
    outcomes = "Every pair of models over all data sets. P(improvement): how likely a new run of "
    outcomes += f"the first model beats one of the second, with its {level(found)}."
    other = f"Differences of {found['metric']} on each data set; p values corrected by Holm over "
    other += "pairs and data sets."
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            f"% {latex(method(found))}",
            formats.latex_table(score_table(found), caption, f"{name}-scores"),
            formats.latex_table(outcome_table(found), outcomes, f"{name}-outcomes"),
            formats.latex_table(difference_table(found), other, f"{name}-pairs"),
        ]
    )
