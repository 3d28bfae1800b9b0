"""What a sweep prints when it ends: all jobs, then mean and SD over the seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.text import Text

from segbench.config.outcome import JobRecord
from segbench.system.console import console, say, table

_DONE = ("finished", "unchanged")


def print_jobs(
    folder: str, records: Sequence[JobRecord], total: int | None, interrupted: bool = False
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
    for number, record in enumerate(records, start=1):
        ended = record.outcome
        status = Text(ended.status, "green" if ended.status in _DONE else "red")
        score = "" if ended.score is None else f"{100 * ended.score:.1f}"
        jobs.add_row(
            str(number), " ".join(record.overrides), status, score, ended.reason or ended.run_dir
        )
    console().print(jobs)
    _print_means(records)
    failed = sum(record.outcome.status in ("failed", "killed") for record in records)
    if interrupted:
        done = sum(record.outcome.status in _DONE for record in records)
        of_all = f" of {total}" if total else ""
        say(f"interrupted with {done}{of_all} jobs done; run the same command again to continue")
    elif failed:
        say(
            f"{failed} of {len(records)} jobs failed; run the same command again to train only "
            "what is left"
        )
    return int(failed > 0)


def _print_means(records: Sequence[JobRecord]) -> None:
    """Prints mean and SD of the scores of jobs that differ only in their seed."""
    groups: dict[str, list[float]] = {}
    for record in records:
        if record.outcome.score is not None:
            label = " ".join(text for text in record.overrides if not text.startswith("seed="))
            groups.setdefault(label, []).append(100 * record.outcome.score)
    if not any(len(scores) > 1 for scores in groups.values()):
        return
    means = table("over seeds", "runs", "mean %", "SD")
    for label, scores in groups.items():
        spread = f"{statistics.stdev(scores):.1f}" if len(scores) > 1 else "–"
        mean = f"{statistics.fmean(scores):.1f}"
        means.add_row(label or "all", str(len(scores)), mean, spread)
    console().print(means)
