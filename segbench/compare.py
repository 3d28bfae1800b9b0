"""Say whether a model is really better: statistics, fairness audit and report of a study.

    python -m segbench.compare study=NAME                     every finished run of runs/NAME
    python -m segbench.compare study=NAME baseline=unet_resnet34 strict=true
    python -m segbench.compare study=NAME baseline=unet margin=1.0   is it as good within a point?

Writes runs/NAME/report: index.html (opens without a network), report.md, tables.tex, CSV tables,
figures and comparison.json. The exit code is 1 if a file was broken and left out, or if strict=true
and the audit found anything graver than a note.
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
from segbench.storage import alone_in


def compare(config: DictConfig) -> int:
    """Compares, writes the report, prints the verdict; returns the exit code."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    _check(plain)
    from segbench.comparison.comparison import Options, compare_runs, left_out_entries
    from segbench.comparison.gallery import gallery
    from segbench.comparison.report import write_report
    from segbench.comparison.study import read_study

    study = read_study(Path(plain["runs"]) / plain["study"], plain["only"])
    folder = make_folder("study", study.path / "report")
    options = Options(
        metric=plain["metric"],
        baseline=plain["baseline"],
        margin=plain["margin"],
        unit=plain["unit"],
        block_length=plain["block_length"],
        replicates=plain["replicates"],
        confidence=plain["confidence"],
        varies=tuple(plain["varies"]),
        gallery=plain["gallery"],
    )
    with alone_in(folder, "study"):
        comparison = compare_runs(study, options)
        images = gallery(study, comparison)
        comparison["left_out"] += left_out_entries(study, images.left_out)
        page = write_report(study, comparison, images)
        if plain["wandb"] and os.environ.get("WANDB_MODE") != "disabled":
            _log(comparison, folder)
    _print(comparison, page)
    broken = any(entry["broken"] for entry in comparison["left_out"])
    unfair = any(finding["grade"] != "note" for finding in comparison["audit"])
    return int(broken or (plain["strict"] and unfair))


def _check(config: Mapping[str, Any]) -> None:
    from segbench.artifacts.differences import AUDITED

    known = [rule.name for rule in AUDITED]
    if unknown := [name for name in config["varies"] if name not in known]:
        names = ", ".join(unknown)
        raise ConfigError(f"varies: {names}: not audited; known: {', '.join(known)}")


def _print(comparison: Mapping[str, Any], page: Path) -> None:
    from segbench.comparison import margin_report, tables
    from segbench.console import console, say, table

    shown = [tables.leaderboard(comparison)]
    shown += [margin_report.table(comparison)] if comparison["margin"] else []
    shown += [tables.pairs(comparison)] if comparison["pairs"] else []
    for found in shown:
        grid = table(*found.heads, left=sum(column.is_text for column in found.columns))
        for cells in found.texts():
            grid.add_row(*cells)
        console().print(grid, "")
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
        dir=str(folder),
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
