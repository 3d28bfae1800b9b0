"""Terminal output at the end of a training: scores, files, next commands."""

from __future__ import annotations

import os

from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.typed import known
from segbench.config.outcome import OUTCOME_FILE
from segbench.metrics.scores import percent
from segbench.system.console import console, table
from segbench.training.next_steps import next_commands


def print_report(result: Result, run: RunDirectory) -> None:
    """Prints the test scores by class, the run directory, and the next commands to try.

    For a run that was not tested, prints one line about val.
    """
    show = console().print
    found, val = result.scores.get("test"), result.scores.get("val")
    selection, info = known(result.protocol).selection, known(result.data_info)
    if found is None:
        score = percent(val.mIoU if val else None)
        show(f"val mIoU {score} %, {selection} weights; not tested (test=false)")
        return
    title = f"test scores, {selection} weights (epoch {result.selected_epoch})"
    classes = table("class", "IoU", "Dice", "recall", "val IoU", title=title)
    for name in found.IoU:
        values = [found.IoU[name], found.Dice[name], found.recall[name]]
        classes.add_row(name, *map(percent, values), percent(val.IoU.get(name) if val else None))
    classes.add_section()
    mean = [found.mIoU, found.mDice, found.mean_acc, val.mIoU if val else None]
    classes.add_row("mean", *map(percent, mean), style="bold")
    show(classes)
    show(
        f"test mIoU {percent(found.mIoU)} %, mDice {percent(found.mDice)} %, pixel_acc "
        f"{percent(found.pixel_acc)} % (absent classes excluded)"
    )
    if info.tested is not None:
        show(
            f"{info.tested} of the {info.num_images['test']} test images were tested "
            "(trainer.limit_test_batches): the scores are not comparable"
        )
    timings = result.timings
    show(
        f"{timings.images_per_s or 0:.1f} images/s, {timings.waiting_for_data or 0:.1%} of the "
        f"training time waiting for data, {timings.total_seconds or 0:.0f} s in total"
    )
    if timings.shares is not None and timings.epoch_seconds is not None:
        shares = ", ".join(f"{part} {share:.0%}" for part, share in timings.shares.items())
        show(f"time spent in epochs ({timings.epoch_seconds:.0f} s): {shares}")
    show(f"\nrun directory  {run.path}")
    images = sorted(run.samples.glob("epoch*.png"))
    if images:
        show(f"samples        {images[-1]}")
    checkpoint = run.best_checkpoint if selection == "best" else run.last_checkpoint
    if OUTCOME_FILE in os.environ:
        return  # a job of a sweep: next commands are printed when all jobs are done
    show("\nnext:")
    for text in next_commands(result.config, checkpoint):
        show(f"  {text}", soft_wrap=True)
