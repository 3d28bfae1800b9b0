"""What a sweep prints when it ends: all jobs, then mean and SD over the seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from segbench.system.console import console, say, table

Record = Mapping[str, Any]
_DONE = ("finished", "unchanged")


def print_jobs(
    folder: str, records: Sequence[Record], total: int | None, interrupted: bool = False
) -> int:
    """Prints the tables; returns 1 if a job failed.

    Args:
        folder: folder of the sweep.
        records: outcomes of the jobs, with their overrides.
        total: planned number of jobs, if known.
        interrupted: whether the sweep was interrupted.
    """
    heads = ("job", "overrides", "status", "score %", "run directory or reason")
    jobs = table(*heads, title=f"jobs of {folder}", left=len(heads))
    shown = _without_common(records)
    for number, (record, own) in enumerate(zip(records, shown, strict=True), start=1):
        status = Text(record["status"], "green" if record["status"] in _DONE else "red")
        score = "" if record["score"] is None else f"{100 * record['score']:.1f}"
        where = record["reason"] or record["run_dir"]
        jobs.add_row(str(number), " ".join(own), status, score, where)
    console().print(jobs)
    _print_means(records, shown)
    failed = sum(record["status"] in ("failed", "killed") for record in records)
    if interrupted:
        done = sum(record["status"] in _DONE for record in records)
        of_all = f" of {total}" if total else ""
        say(f"interrupted with {done}{of_all} jobs done; run the same command again to continue")
    elif failed:
        say(
            f"{failed} of {len(records)} jobs failed; run the same command again to train only "
            "what is left"
        )
    return int(failed > 0)


def _print_means(records: Sequence[Record], shown: Sequence[Sequence[str]]) -> None:
    """Prints mean and SD of the scores of jobs that differ only in their seed."""
    groups: dict[str, list[float]] = {}
    for record, own in zip(records, shown, strict=True):
        if record["score"] is not None:
            label = " ".join(text for text in own if not text.startswith("seed="))
            groups.setdefault(label, []).append(100 * record["score"])
    if not any(len(scores) > 1 for scores in groups.values()):
        return
    means = table("over seeds", "runs", "mean %", "SD")
    for label, scores in groups.items():
        spread = f"{statistics.stdev(scores):.1f}" if len(scores) > 1 else "–"
        mean = f"{statistics.fmean(scores):.1f}"
        means.add_row(label or "all", str(len(scores)), mean, spread)
    console().print(means)


def _without_common(records: Sequence[Record]) -> list[list[str]]:
    """The overrides of each job without those that all jobs share; all of them if none remain."""
    if not records:
        return []
    same = set.intersection(*(set(record["overrides"]) for record in records))
    return [
        [text for text in record["overrides"] if text not in same] or list(record["overrides"])
        for record in records
    ]
