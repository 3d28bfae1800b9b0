"""Publishes the report of a study, and generates all result tables from the published reports.

    python -m segbench.compare study=NAME    writes the report to runs/NAME/report
    python tools/publish.py runs/NAME        copies it to experiments/results, then as below
    python tools/publish.py runs/A+B         the same for a comparison over published studies
    python tools/publish.py                  as `make results` does
    python tools/publish.py --replace runs/NAME    also if published runs are not among the new ones

`results/NAME.json` is the comparison with all its runs: score, seed, command, commit and machine of
each. `results/runs/NAME` contains what the comparison was computed from, the pixel counts of every
test image of every run, so anyone can compute it again or go on with the study:

    python -m segbench.compare runs=experiments/results/runs study=NAME wandb=false
    cp -r experiments/results/runs/NAME runs/      then train further models or seeds as usual

`results/NAME.md` and the tables between these marks are generated from the comparison:

    <!-- results -->                      the list of studies
    <!-- results of NAME -->              the verdict and the leaderboard of one study
    <!-- costs -->                        the costs measured in results/costs, see costs.py
    <!-- end of results -->               end of both

Paths of your machine become PATH; otherwise the JSON equals the report's comparison.json
(across.json for several studies).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import costs

from segbench.artifacts.provenance import commit_in_words
from segbench.artifacts.public_copy import copy_runs, public_command, public_values
from segbench.artifacts.result import Hardware
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.typed import read_as
from segbench.comparison import across_report, across_tables, formats, tables
from segbench.comparison.content import write_json
from segbench.comparison.reproduce import span
from segbench.comparison.runs import LeftOut, read_run
from segbench.comparison.wording import score_interval
from segbench.errors import ConfigError, ResultError, first_few
from segbench.metrics.scores import percent
from segbench.system.escaping import markdown

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "experiments/README.md", "docs/which-model.md")
MARKS = re.compile(
    r"(<!-- (?:results(?: of (?P<study>[^\n]+?))?|(?P<costs>costs)) -->\n)"
    r".*?(<!-- end of results -->)",
    re.DOTALL,
)

COMPARISONS = ({"study", "runs", "leaderboard", "split"}, {"studies", "scores"})  # keys of each
# What comparisons published with an earlier schema do not contain.
EARLIER = {
    "margin": None, "metrics": [], "domination": [], "robustness": None, "approximate": False,
    "audits": {}, "options": None,
}  # fmt: skip


def take(study: Path, results: Path, replace: bool = False) -> Path:
    """Copies the comparison of a study and its runs into `results`, without local paths.

    What is published already is replaced only when the new copy is complete.

    Args:
        study: its folder, with runs and report.
        results: where it is published.
        replace: whether published runs or scores that the new report lacks may be removed.

    Raises:
        FileNotFoundError: the study has no report.
        ValueError: the report does not belong to the runs in the folder, or to published studies;
            or published runs would be lost.
    """
    study, results = study.resolve(), results.resolve()
    if results in (study, *study.parents):
        raise ValueError(f"{study}: this is published already; name a folder in runs/")
    several, single = study / "report/across.json", study / "report/comparison.json"
    report = several if several.is_file() else single
    try:
        comparison = json.loads(report.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{report}: is damaged ({error}); compare the study again") from None
    if not isinstance(comparison, dict) or not any(map(comparison.keys().__ge__, COMPARISONS)):
        raise ValueError(f"{report}: is not a comparison; compare the study again")
    name = _name(comparison)
    if name != study.name:
        raise ValueError(f"{report}: is of {name}, not of {study.name}; compare it again")
    if "studies" in comparison:  # the runs are published with each
        _check_studies(comparison, results)
    else:
        if not replace and (before := results / f"{name}.json").is_file():
            _keep_reported(before, [run["path"] for run in comparison["runs"]])
        _take_runs(study, comparison, results / "runs" / name, replace)
        for run in comparison["runs"]:
            run["command"] = public_command(run["command"])
    file = results / f"{name}.json"
    results.mkdir(parents=True, exist_ok=True)
    write_json(public_values(comparison), file)
    return file


def _take_runs(study: Path, comparison: Mapping[str, Any], target: Path, replace: bool) -> None:
    """Publishes the compared runs; all of them, or nothing."""
    names = [run["path"] for run in comparison["runs"]]
    if target.is_dir() and not replace:
        _keep_published(names, study, target)
    draft = target.with_name(f".{target.name}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        copy_runs(study, names, draft)
        for run in comparison["runs"]:
            read = read_run(draft / run["path"])
            if isinstance(read, LeftOut):
                raise ResultError(f"{study / run['path']}: {read.reason}")
            if read.data.split != comparison["split"] or run["mIoU"] != read.scores.mIoU:
                raise ResultError(f"{study / run['path']} is not the run of the report")
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
    except (ResultError, ConfigError) as error:
        raise ValueError(f"{error}; compare the study again, then publish it") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _keep_reported(report: Path, names: Sequence[str]) -> None:
    """Raises ValueError if scores of a published report would go, whose runs were not kept."""
    runs = json.loads(report.read_text(encoding="utf-8"))["runs"]
    kept = report.parent / "runs" / report.stem
    reported = [run["path"] for run in runs if not (kept / run["path"]).is_dir()]
    if lost := sorted(set(reported) - set(names)):
        raise ValueError(
            f"{report.stem}: {len(lost)} published scores are not in this report, and their runs "
            f"were not kept: {first_few(lost, 6)}. Train them again, "
            "give the study another name, or publish with --replace"
        )


def _keep_published(names: Sequence[str], study: Path, target: Path) -> None:
    """Raises ValueError if published runs are not among the new ones, or of another study."""
    published = {folder.relative_to(target).as_posix() for folder in target.glob("*/seed*")}
    if lost := sorted(published - set(names)):
        raise ValueError(
            f"{target.name}: {len(lost)} published runs are not in this report: "
            f"{first_few(lost, 6)}. To keep them, cp -r -n {target}/* "
            f"{study}/ and compare again without only=; to remove them, publish with --replace"
        )
    for name in sorted(published):
        old, new = (RunDirectory(folder / name).read_result() for folder in (target, study))
        if old and new and old.study != new.study:
            raise ValueError(
                f"{target.name}: is published from the study {old.study}, and these runs are of "
                f"{new.study}; give it another name, or publish with --replace"
            )


def stale(root: Path) -> list[str]:
    """The published comparisons over studies that have other scores than the studies now have."""
    results, found = root / "experiments/results", []
    for file in sorted(results.glob("*.json")):
        comparison = json.loads(file.read_text(encoding="utf-8"))
        try:
            if "studies" in comparison:
                _check_studies(comparison, results)
        except ValueError as error:
            found.append(str(error))
    return found


def _check_studies(comparison: Mapping[str, Any], results: Path) -> None:
    """Raises ValueError unless each study is published with the scores of this comparison."""
    files = {name: results / f"{name}.json" for name in comparison["studies"]}
    if missing := [name for name, file in files.items() if not file.is_file()]:
        raise ValueError(
            f"{_name(comparison)}: not published yet: {', '.join(missing)}, so the runs cannot be "
            "traced; publish them first"
        )
    for name, file in files.items():
        rows = json.loads(file.read_text(encoding="utf-8"))["leaderboard"]
        known = {row["label"]: row["value"] for row in rows}
        for row in comparison["scores"]:
            score = row["data"].get(name)
            same = [known[row["label"]]] if row["label"] in known else list(known.values())
            if score is not None and not any(abs(score["value"] - x) < 1e-9 for x in same):
                raise ValueError(
                    f"{_name(comparison)}: {row['label']} scores {percent(score['value'])} on "
                    f"{name}, which is not what is published of it; compare both again"
                )


def doubts(comparison: Mapping[str, Any]) -> list[str]:
    """Reasons why a reader cannot trace or trust the numbers."""
    runs = {
        f"{run['label']}, seed {run['seed']}: {commit_in_words(run)}; the numbers cannot be traced"
        for run in comparison.get("runs", [])  # those of several studies are told with each
        if run["dirty"] or not run["commit"]
    }
    audits = {"": comparison.get("audit", []), **comparison.get("audits", {})}
    unknown = {
        f"{run['label']}, seed {run['seed']}: scored by evaluate; the commit of its training "
        "is not recorded"
        for run in comparison.get("runs", [])
        if run["kind"] == "evaluate"
    }
    unfair = [
        f"{name}{': ' * bool(name)}{entry['grade']}: {entry['field']}: {entry['why']}"
        for name, entries in audits.items()
        for entry in entries
        if entry["grade"] != "note"
    ]
    left_out = [f"left out: {e['path']}: {e['reason']}" for e in comparison.get("left_out", [])]
    return sorted(runs) + sorted(unknown) + unfair + left_out


def rendered(root: Path) -> dict[Path, str]:
    """Every file that is generated from the published comparisons, with its expected text.

    Raises:
        ValueError: a report without its data, or a mark for a study that is not published, or a
            comparison over studies of which one is not published.
    """
    results = root / "experiments/results"
    studies = {
        file.stem: EARLIER | json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(results.glob("*.json"))
    }
    pages = {results / f"{name}.md": _report(found, studies) for name, found in studies.items()}
    for file in sorted(results.glob("*.md")):
        if file not in pages:
            raise ValueError(f"{file}: {file.stem}.json is missing; publish the study again")

    for page in (root / name for name in PAGES):

        def filled(match: re.Match[str], page: Path = page) -> str:
            if match["costs"]:
                return (
                    f"{match[1]}{costs.section(sorted(results.glob('costs/*.json')))}\n{match[4]}"
                )
            name = match["study"]
            if name is not None and name not in studies:
                raise ValueError(
                    f"{page}: shows the results of {name}, but {results / name}.json does not "
                    f"exist; published studies: {', '.join(studies) or 'none'}"
                )
            links = {study: _link(study, results, page) for study in studies}
            text = _list(studies, links) if name is None else _one(studies[name], links[name])
            return f"{match[1]}{text}\n{match[4]}"

        pages[page] = MARKS.sub(filled, page.read_text(encoding="utf-8"))
    return pages


def _name(found: Mapping[str, Any]) -> str:
    """The name of a study, or of a comparison over several, as that of its folder in runs/."""
    return "+".join(found.get("studies") or [found["study"]])


def _report(found: Mapping[str, Any], studies: Mapping[str, Any]) -> str:
    """The Markdown of a comparison; over several studies, with links to each."""
    if "studies" not in found:
        return formats.markdown_report(found)
    if unknown := [name for name in found["studies"] if name not in studies]:
        raise ValueError(f"{_name(found)}: not published: {', '.join(unknown)}; publish them first")
    links = ", ".join(f"[{markdown(n)}]({quote(n, safe='+')}.md)" for n in found["studies"])
    return f"{across_report.markdown_report(found)}\nRuns, commands and machines: {links}.\n"


def _link(study: str, results: Path, page: Path) -> str:
    address = Path(os.path.relpath(results / f"{study}.md", page.parent)).as_posix()
    return f"[{markdown(study)}]({quote(address, safe='/+')})"


def _list(studies: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """One row per study."""
    rows = [["study", "test score (%), interval", "seeds", "verdict", "commit, hardware"]]
    for name, found in studies.items():
        if "studies" in found:
            rows.append(_several(found, links[name]))
            continue
        scores = [markdown(f"{row['label']} {percent(row['value'])} ({score_interval(row)})")
                  for row in found["leaderboard"]]  # fmt: skip
        seeds = {span(row["seeds"]): None for row in found["leaderboard"]}
        origins = {
            markdown(f"{commit_in_words(run)}, {read_as(Hardware, run['hardware'] or {})}"): None
            for run in found["runs"]
        }
        rows.append([links[name], "<br>".join(scores), "; ".join(seeds), markdown(found["verdict"]),
                     "<br>".join(origins)])  # fmt: skip
    return formats.markdown_table(rows) if studies else "None yet."


def _several(found: Mapping[str, Any], link: str) -> list[str]:
    """The row of a comparison over several studies."""
    names = found["studies"]
    scores = [
        markdown(f"{cells[0]}: {score}, {name}")
        for cells in across_tables.score_table(found).texts()
        for name, score in zip(names, cells[1 : 1 + len(names)], strict=True)
    ]
    elsewhere = "those of each study"
    return [link, "<br>".join(scores), elsewhere, markdown(found["verdict"]), elsewhere]


def _one(found: Mapping[str, Any], link: str) -> str:
    """The verdict and the leaderboard of one study, and links to the rest."""
    several = "studies" in found
    board = formats.markdown_of(
        across_tables.score_table(found) if several else tables.leaderboard(found)
    )
    words = f"**{markdown(found['verdict'])}** {markdown(found['evidence'])}"
    return f"{words}\n\n{board}\n\nFull report: {link}."


def main() -> None:
    """Publishes the named studies, writes all tables, prints changes and doubts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("studies", nargs="*", type=Path, metavar="runs/NAME")
    parser.add_argument("--replace", action="store_true", help="published runs may be removed")
    given = parser.parse_args()
    try:
        for study in given.studies:
            file = take(study, ROOT / "experiments/results", given.replace)
            for doubt in doubts(json.loads(file.read_text(encoding="utf-8"))):
                print(f"{file.stem}: {doubt}")
        for file, text in rendered(ROOT).items():
            if not file.is_file() or file.read_text(encoding="utf-8") != text:
                file.write_text(text, encoding="utf-8")
                print(f"written: {file.relative_to(ROOT)}")
        for text in stale(ROOT):
            print(f"out of date: {text}")
    except (FileNotFoundError, NotADirectoryError) as error:
        sys.exit(
            f"publish: {error.filename} does not exist; create it with "
            "python -m segbench.compare study=NAME"
        )
    except ValueError as error:
        sys.exit(f"publish: {error}")


if __name__ == "__main__":
    main()
