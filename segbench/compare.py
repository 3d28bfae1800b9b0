"""Say whether a model is really better: statistics, fairness audit and report of a study.

    python -m segbench.compare study=NAME                     every finished run of runs/NAME
    python -m segbench.compare study=NAME baseline=unet_resnet34 strict=true

Writes runs/NAME/report: index.html (opens without a network), report.md, tables.tex, CSV tables,
figures and comparison.json. The exit code is 1 if a file was broken and its run left out, or if
strict=true and the audit found anything graver than a note.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segbench.config import make_folder
from segbench.config.app import run_verb
from segbench.errors import ConfigError


def compare(config: DictConfig) -> int:
    """Compares, writes the report, prints the verdict; returns the exit code."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    _check(plain)
    from segbench.comparison.comparison import compare_runs
    from segbench.comparison.details import Options
    from segbench.comparison.report import write_report
    from segbench.comparison.study import read_study

    study = read_study(Path(plain["runs"]) / plain["study"], plain["only"])
    make_folder("study", study.path / "report")
    options = Options(
        baseline=plain["baseline"],
        unit=plain["unit"],
        block_length=plain["block_length"],
        replicates=plain["replicates"],
        confidence=plain["confidence"],
        varies=tuple(plain["varies"]),
        gallery=plain["gallery"],
    )
    comparison = compare_runs(study, options)
    page = write_report(study, comparison)
    if plain["wandb"] and os.environ.get("WANDB_MODE") != "disabled":
        _log(comparison, page.parent)
    _print(comparison, page)
    broken = any(entry["broken"] for entry in comparison["left_out"])
    unfair = any(finding["grade"] != "note" for finding in comparison["audit"])
    return int(broken or (plain["strict"] and unfair))


def _check(config: Mapping[str, Any]) -> None:
    from segbench.comparison.audit import FIELDS

    known = [field.name for field in FIELDS]
    if unknown := [name for name in config["varies"] if name not in known]:
        names = ", ".join(unknown)
        raise ConfigError(f"varies: {names}: not audited; known: {', '.join(known)}")


def _print(comparison: Mapping[str, Any], page: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from segbench.comparison.tables import leaderboard_rows, pair_rows

    console = Console(width=None if os.isatty(1) else 120, highlight=False, markup=False)
    rows = [leaderboard_rows(comparison), pair_rows(comparison)]
    for table_rows in rows[: 2 if comparison["pairs"] else 1]:
        table = Table(box=None)
        for number, title in enumerate(table_rows[0]):
            table.add_column(title, justify="right" if number else "left")
        for row in table_rows[1:]:
            table.add_row(*row)
        console.print(table, "")
    for finding in comparison["audit"]:
        if finding["grade"] != "note":
            console.print(f"{finding['grade']}: {finding['field']}: {finding['why']}")
    for entry in comparison["left_out"]:
        console.print(f"left out: {entry['path']}: {entry['reason']}")
    console.print(f"\n{comparison['verdict']}\n{comparison['evidence']}\n\nreport: {page}")


def _log(comparison: Mapping[str, Any], folder: Path) -> None:
    """Logs verdict, tables and figures as a W&B run of job type `compare`."""
    import wandb

    from segbench.comparison.tables import class_rows, leaderboard_rows, pair_rows

    os.environ.setdefault("WANDB_SILENT", "true")
    offline = os.environ.get("WANDB_MODE") in ("offline", "dryrun")
    online = not offline and wandb.login(prompt=False)
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "segbench"),
        group=comparison["study"],
        name=f"{comparison['study']}/compare",
        job_type="compare",
        dir=str(folder),
        mode="online" if online else "offline",
        config={key: comparison[key] for key in ("study", "baseline", "unit", "replicates")},
    )
    try:
        tables = {"leaderboard": leaderboard_rows, "pairs": pair_rows, "classes": class_rows}
        for name, rows_of in tables.items():
            rows = rows_of(comparison)
            run.log({f"compare/{name}": wandb.Table(columns=[*rows[0]], data=rows[1:])})
        for figure in sorted((folder / "figures").glob("*.png")):
            run.log({f"compare/figure/{figure.stem}": wandb.Image(str(figure))})
        run.summary["verdict"] = comparison["verdict"]
        run.summary["evidence"] = comparison["evidence"]
    finally:
        run.finish()


if __name__ == "__main__":
    run_verb("compare", compare)
