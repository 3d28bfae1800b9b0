"""Compare the models of a study: statistics, fairness audit, verdict and report.

    python -m segbench.compare study=NAME                     every finished run of runs/NAME
    python -m segbench.compare study=NAME baseline=unet_resnet34 strict=true
    python -m segbench.compare study=NAME baseline=unet margin=1.0   is it as good within a point?
    python -m segbench.compare studies=[A,B,C]      the models they share, over three data sets

Writes runs/NAME/report: index.html (self-contained, works offline), report.md, tables.tex, CSV
tables, figures and comparison.json. The exit code is 1 if a damaged file was left out, or if
strict=true and the audit found anything more severe than a note.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from segbench.api.verbs import make_callable
from segbench.config import make_folder, resolved
from segbench.config.app import run_verb
from segbench.errors import ConfigError
from segbench.system.console import console, say, table
from segbench.system.storage import alone_in

if TYPE_CHECKING:
    from segbench.comparison.options import Options
    from segbench.comparison.tables import Table


def compare(config: DictConfig) -> int:
    """Compares, writes the report, prints the verdict; returns the exit code."""
    plain = resolved(config)
    _check(plain)
    return _compare_studies(plain) if plain["studies"] else _compare_study(plain)


def _compare_study(plain: Mapping[str, Any]) -> int:
    from segbench.comparison.comparison import compare_runs, left_out_entries
    from segbench.comparison.gallery import gallery
    from segbench.comparison.report import write_report
    from segbench.comparison.study import read_studies

    (study,) = read_studies([Path(plain["runs"]) / plain["study"]], plain["only"])
    folder = make_folder("study", study.path / "report")
    with alone_in(folder, "study"):
        comparison = compare_runs(study, _options(plain))
        images = gallery(study, comparison)
        comparison["left_out"] += left_out_entries(study, images.left_out)
        page = write_report(study, comparison, images)
        if plain["wandb"] and os.environ.get("WANDB_MODE") != "disabled":
            _log(comparison, folder)
    _print(comparison, page)
    broken = any(entry["broken"] for entry in comparison["left_out"])
    unfair = any(finding["grade"] != "note" for finding in comparison["audit"])
    return int(broken or (plain["strict"] and unfair))


def _compare_studies(plain: Mapping[str, Any]) -> int:
    """Compares the models that several studies share, a data set each."""
    from segbench.comparison.across_report import compare_studies, write_report
    from segbench.comparison.study import read_studies

    runs = Path(plain["runs"])
    studies = read_studies([runs / name for name in plain["studies"]], plain["only"])
    found = compare_studies(studies, _options(plain))
    folder = make_folder(
        "studies", runs / "+".join(study.path.name for study in studies) / "report"
    )
    with alone_in(folder, "studies"):
        page = write_report(folder, found)
    _print_studies(found, page)
    broken = any(entry["broken"] for entry in found["left_out"])
    return int(broken or (plain["strict"] and any(found["audits"].values())))


def _options(plain: Mapping[str, Any]) -> Options:
    from segbench.comparison.options import Options

    return Options(
        metric=plain["metric"],
        metrics=tuple(plain["metrics"]),
        baseline=plain["baseline"],
        margin=plain["margin"],
        unit=plain["unit"],
        block_length=plain["block_length"],
        replicates=plain["replicates"],
        confidence=plain["confidence"],
        varies=tuple(plain["varies"]),
        gallery=plain["gallery"],
    )


def _check(config: Mapping[str, Any]) -> None:
    from segbench.artifacts.differences import AUDITED
    from segbench.comparison.measures import check_metrics
    from segbench.comparison.study import study_names

    known = [rule.name for rule in AUDITED]
    if unknown := [name for name in config["varies"] if name not in known]:
        names = ", ".join(unknown)
        raise ConfigError(f"varies: {names}: not audited; known: {', '.join(known)}")
    check_metrics(config["metric"], config["metrics"])
    study_names(config["study"], config["studies"], "one study is compared with")
    if config["studies"] and config["margin"] is not None:
        raise ConfigError("margin is for one study; with studies=[...] leave it out")
    if config["studies"] and config["metrics"]:
        raise ConfigError("metrics is for one study; with studies=[...] set a single metric")


def _print_studies(found: Mapping[str, Any], page: Path) -> None:
    from segbench.comparison.across_tables import pair_table, score_table

    _print_tables([score_table(found), *([pair_table(found)] if found["pairs"] else [])])
    for name, findings in found["audits"].items():
        for finding in findings:
            say(f"{name}: {finding['grade']}: {finding['field']}: {finding['why']}")
    for entry in found["left_out"]:
        say(f"left out: {entry['path']}: {entry['reason']}")
    say(f"\n{found['verdict']}\n{found['evidence']}\n\nreport: {page}")


def _print_tables(tables: Sequence[Table]) -> None:
    for found in tables:
        grid = table(*found.heads, left=sum(column.is_text for column in found.columns))
        for cells in found.texts():
            grid.add_row(*cells)
        console().print(grid, "")


def _print(comparison: Mapping[str, Any], page: Path) -> None:
    from segbench.comparison import margin_report, more_metrics, robustness, tables

    shown = [tables.leaderboard(comparison)]
    shown += [more_metrics.table(comparison)] if comparison["metrics"] else []
    shown += [margin_report.table(comparison)] if comparison["margin"] else []
    shown += [robustness.table(comparison)] if comparison["robustness"] else []
    first = tables.first_pairs(comparison)
    shown += [tables.pairs(comparison, first)] if first else []
    _print_tables(shown)
    if more := len(comparison["pairs"]) - len(first):
        say(f"{more} more pairs are in the report\n")
    for finding in comparison["audit"]:
        if finding["grade"] != "note":
            say(f"{finding['grade']}: {finding['field']}: {finding['why']}")
    for entry in comparison["left_out"]:
        say(f"left out: {entry['path']}: {entry['reason']}")
    say(f"\n{comparison['verdict']}\n{comparison['evidence']}\n\nreport: {page}")


def _log(comparison: Mapping[str, Any], folder: Path) -> None:
    """Logs verdict, tables and figures as a W&B run of job type `compare`."""
    import wandb

    from segbench.comparison import formats, tables

    os.environ.setdefault("WANDB_SILENT", "true")
    offline = os.environ.get("WANDB_MODE") in ("offline", "dryrun")
    online = not offline and wandb.login(prompt=False)
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "segbench"),
        group=comparison["study"],
        name=f"{comparison['study']}/compare",
        job_type="compare",
        dir=os.environ.get("WANDB_DIR") or str(folder.parent),  # beside the runs
        mode="online" if online else "offline",
        config={
            key: comparison[key] for key in ("study", "metric", "baseline", "unit", "replicates")
        },
    )
    try:
        found = {"leaderboard": tables.leaderboard(comparison), "pairs": tables.pairs(comparison),
                 "classes": formats.class_values(comparison)}  # fmt: skip
        for name, shown in found.items():
            head, *rows = shown.values()
            run.log({f"compare/{name}": wandb.Table(columns=head, data=rows)})
        for figure in sorted((folder / "figures").glob("*.png")):
            run.log({f"compare/figure/{figure.stem}": wandb.Image(str(figure))})
        run.summary["verdict"] = comparison["verdict"]
        run.summary["evidence"] = comparison["evidence"]
    finally:
        run.finish()


if __name__ == "__main__":
    run_verb("compare", compare)
else:
    make_callable(__name__)
