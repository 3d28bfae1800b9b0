"""Publishes the report of a study, and generates all result tables from the published reports.

    python -m segbench.compare study=NAME    writes the report to runs/NAME/report
    python tools/publish.py runs/NAME        copies it to experiments/results, then as below
    python tools/publish.py runs/A+B         the same for a comparison over published studies
    python tools/publish.py                  as `make results` does
    python tools/publish.py --replace runs/NAME    also if published runs are not among the new ones
    python tools/publish.py runs/cost/*.json       adds costs; --replace removes the others

`results/NAME.json` is the comparison with all its runs: score, seed, command, commit and machine of
each. `results/runs/NAME` contains what the comparison was computed from, the pixel counts of every
test image of every run, so anyone can compute it again or go on with the study:

    python -m segbench.compare runs=experiments/results/runs study=NAME wandb=false
    cp -r experiments/results/runs/NAME runs/      then train further models or seeds as usual

`results/NAME.md` and the tables of the pages are generated from these files, see result_pages.py.
`results/costs` has the files of `segbench.benchmark` for the table of costs, see costs.py.

Paths of your machine become PATH; otherwise the JSON equals the report's comparison.json
(across.json for several studies).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import costs
from result_pages import name_of, rendered

from segbench.artifacts.provenance import commit_in_words
from segbench.artifacts.public_copy import (
    copy_runs,
    public_command,
    public_costs,
    public_values,
)
from segbench.artifacts.run_directory import RunDirectory
from segbench.comparison.content import write_json
from segbench.comparison.runs import LeftOut, read_run
from segbench.errors import ConfigError, ResultError, first_few
from segbench.metrics.scores import percent

ROOT = Path(__file__).resolve().parents[1]
COMPARISONS = ({"study", "runs", "leaderboard", "split"}, {"studies", "scores"})  # keys of each


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
    name = name_of(comparison)
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


def take_costs(files: Sequence[Path], results: Path, replace: bool = False) -> None:
    """Copies files of `segbench.benchmark` into `results/costs`, without local paths.

    Args:
        files: the files.
        results: where they are published.
        replace: whether the files that are there now are removed.

    Raises:
        ValueError: a file does not exist, is no such file, or cannot be compared with the others;
            nothing is published then.
    """
    folder = results / "costs"
    there = [] if replace else sorted(folder.glob("*.json"))
    names = [file.name for file in (*there, *files)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"{folder}: two files are named {first_few(twice, 6)}; rename the new one, or remove "
            "all that are there with --replace"
        )
    contents = {file: costs.read(file) for file in (*there, *files)}
    costs.measured(contents, costs.REFERENCE)
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        write_json(public_costs(contents[file]), folder / file.name)
    if replace:
        for file in folder.glob("*.json"):
            if file.name not in names:
                file.unlink()


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
            f"{name_of(comparison)}: not published yet: {', '.join(missing)}, so the runs cannot "
            "be traced; publish them first"
        )
    for name, file in files.items():
        rows = json.loads(file.read_text(encoding="utf-8"))["leaderboard"]
        known = {row["label"]: row["value"] for row in rows}
        for row in comparison["scores"]:
            score = row["data"].get(name)
            same = [known[row["label"]]] if row["label"] in known else list(known.values())
            if score is not None and not any(abs(score["value"] - x) < 1e-9 for x in same):
                raise ValueError(
                    f"{name_of(comparison)}: {row['label']} scores {percent(score['value'])} on "
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


def main() -> None:
    """Publishes the named studies and costs, writes all tables, prints changes and doubts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "given", nargs="*", type=Path, metavar="runs/NAME", help="studies, or files of costs"
    )
    parser.add_argument("--replace", action="store_true", help="published runs may be removed")
    options = parser.parse_args()
    measured = [path for path in options.given if path.suffix == ".json"]
    results = ROOT / "experiments/results"
    try:
        if measured:
            take_costs(measured, results, options.replace)
        for study in (path for path in options.given if path not in measured):
            file = take(study, results, options.replace)
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
