"""Writes the `report/` folder of a study: a self-contained page, tables, figures, JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from segbench.comparison import (
    domination,
    formats,
    heat_maps,
    margin_report,
    more_metrics,
    plots,
    robustness,
    style,
    tables,
    wording,
)
from segbench.comparison.content import write_json
from segbench.comparison.entrants import HEADLINES
from segbench.comparison.gallery import Gallery
from segbench.comparison.study import Study
from segbench.metrics.scores import percent
from segbench.system.escaping import one_line
from segbench.system.storage import replacing_all, write_text

FILES = ("config.yaml", "result.json", "metrics.csv", "train.log")


def write_report(study: Study, comparison: Mapping[str, Any], gallery: Gallery) -> Path:
    """Writes the whole report.

    Args:
        study: its folder is the parent of the report; its runs are linked.
        comparison: see `comparison.compare_runs`.
        gallery: the images of the page.

    Returns:
        The HTML page, `STUDY/report/index.html`.
    """
    folder = study.path / "report"
    figures = plots.figures(study, comparison)
    with replacing_all(folder) as draft:
        (draft / "figures").mkdir()
        for name, figure in figures.items():
            style.save(figure, draft / "figures" / name)
        svg = {name: Markup(style.inline_svg(figure)) for name, figure in figures.items()}
        write_json(comparison, draft / "comparison.json")
        write_text(draft / "report.md", formats.markdown_report(comparison))
        write_text(draft / "tables.tex", formats.latex_tables(comparison))
        formats.write_csv(tables.leaderboard(comparison), draft / "leaderboard.csv")
        formats.write_csv(tables.pairs(comparison), draft / "pairs.csv")
        if comparison["metrics"]:
            formats.write_csv(more_metrics.table(comparison), draft / "metrics.csv")
        if comparison["robustness"]:
            formats.write_csv(robustness.table(comparison), draft / "robustness.csv")
        formats.write_csv(formats.class_values(comparison), draft / "classes.csv")
        write_text(draft / "index.html", _page(study, comparison, gallery, svg, folder))
    for old in (folder / "figures").iterdir():
        if old.stem not in figures:  # from an earlier report
            old.unlink()
    return folder / "index.html"


def _page(
    study: Study,
    comparison: Mapping[str, Any],
    gallery: Gallery,
    svg: Mapping[str, Markup],
    folder: Path,
) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: one_line(value) if type(value) is str else value,
    )
    environment.filters |= {"percent": percent, "points": wording.points, "bounds": wording.bounds}
    pair = None
    if comparison["headline"] is not None:
        pair = comparison["pairs"][comparison["headline"]]
    low, high = _axis(comparison)
    first = tables.first_pairs(comparison)
    return environment.get_template("report.html.j2").render(
        c=comparison,
        pair=pair,
        axis={"low": low, "high": high},
        at=lambda value: round(100 * (value - low) / (high - low), 2),
        looks={label: color for label, (color, _) in plots.look(comparison).items()},
        svg=svg,
        captions=_captions(comparison, pair),
        leaderboard=tables.leaderboard(comparison),
        origin_of=tables.origin_of,
        pairs=tables.pairs(comparison, first),
        all_pairs=tables.pairs(comparison) if len(first) < len(comparison["pairs"]) else None,
        margin=margin_report.table(comparison) if comparison["margin"] else None,
        metrics=more_metrics.table(comparison) if comparison["metrics"] else None,
        definitions=more_metrics.definitions(comparison),
        about_metrics=more_metrics.note(comparison),
        robustness=robustness.table(comparison) if comparison["robustness"] else None,
        about_robustness=robustness.sentence(comparison) if comparison["robustness"] else "",
        groups=tables.groups(comparison),
        costs=domination.tables(comparison),
        classes={
            HEADLINES[metric]: tables.classes(comparison, metric)
            for metric in tables.tested_by_class(comparison)
        },
        method=tables.method(comparison),
        gallery=gallery,
        links=lambda run: _links(study.path / run["path"], folder),
        needed=wording.needed,
        level=wording.level(comparison),
    )


def _captions(comparison: Mapping[str, Any], pair: Mapping[str, Any] | None) -> dict[str, str]:
    """What each figure shows, with the units of its colors."""
    few_models = len(comparison["leaderboard"]) <= plots.MOST_BANDS
    score, a, b = comparison["metric"], pair and pair["a"], pair and pair["b"]
    most = heat_maps.MOST_COLUMNS
    shares = "each row in percent of the true pixels of its class"
    return {
        "leaderboard": f"Each model's {score}",
        "cost": f"{score} and cost: bars are intervals, the dotted line is the Pareto front, "
        "hollow markers are dominated models",
        "classes": "Difference per class, in points: blue where a model is better, orange where "
        "it is worse; * = significant after correction over the classes"
        + (f" (the first {most} models)" if len(comparison["leaderboard"]) > most + 1 else ""),
        "curves": "Learning curves: mean over seeds"
        + (", band from the lowest to the highest seed" if few_models else ""),
        "confusion": f"Confusion of {a} minus that of {b}, in points of the true pixels of each "
        "class; on the diagonal, blue is better",
        "confusion_first": f"{a}: {shares}, mean over runs",
        "confusion_second": f"{b}: {shares}, mean over runs",
    }


def _axis(comparison: Mapping[str, Any]) -> tuple[float, float]:
    """Ends of the axis for the intervals of the leaderboard, in whole percent."""
    ends = [
        value
        for row in comparison["leaderboard"]
        for value in (*row["interval"], *row["scores"])
        if value is not None
    ]
    low, high = max(0.0, min(ends)), min(1.0, max(ends))
    return int(100 * low) / 100, max(-int(-100 * high // 1), int(100 * low) + 1) / 100


def _links(run: Path, folder: Path) -> list[tuple[str, str]]:
    """Names and relative addresses of the existing files of a run."""
    relative = Path(os.path.relpath(run, folder)).as_posix()
    return [(name, f"{quote(relative)}/{name}") for name in FILES if (run / name).is_file()]
