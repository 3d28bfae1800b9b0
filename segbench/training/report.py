"""What the terminal shows when a training is over: scores, where they are, what to do next."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from segbench.artifacts.run_directory import RunDirectory
from segbench.config.app import OUTCOME_FILE
from segbench.metrics.scores import percent
from segbench.training.next_steps import next_commands


def print_report(result: dict[str, Any], run: RunDirectory) -> None:
    """Prints the test scores by class, the run directory, and the next commands to try.

    Of a run that was not tested, one line on val.
    """
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    found, val = result["scores"].get("test"), result["scores"]["val"]
    selection = result["protocol"]["selection"]
    if found is None:
        score = percent(val["mIoU"] if val else None)
        console.print(f"val mIoU {score} %, {selection} weights; not tested (test=false)")
        return
    title = f"test, {selection} weights (epoch {result['selected_epoch']})"
    table = Table(title=title, title_justify="left")
    table.add_column("class")
    for column in ("IoU", "Dice", "recall", "val IoU"):
        table.add_column(column, justify="right")
    for name in found["IoU"]:
        values = [found[key][name] for key in ("IoU", "Dice", "recall")]
        table.add_row(name, *map(percent, values), percent(val["IoU"].get(name) if val else None))
    table.add_section()
    mean = [found["mIoU"], found["mDice"], found["mean_acc"], val["mIoU"] if val else None]
    table.add_row("mean", *map(percent, mean), style="bold")
    console.print(table)
    console.print(
        f"test mIoU {percent(found['mIoU'])} %, pixel_acc "
        f"{percent(found['pixel_acc'])} % (absent classes excluded)"
    )
    if tested := result["data_info"].get("tested"):
        images = result["data_info"]["num_images"]["test"]
        console.print(
            f"{tested} of the {images} test images were tested (trainer.limit_test_batches): no "
            "score to compare"
        )
    timings = result["timings"]
    console.print(
        f"{timings['images_per_s']:.1f} images/s, {timings['waiting_for_data']:.1%} of the "
        f"training time waiting for data, {timings['total_seconds']:.0f} s in all"
    )
    console.print(f"\nrun directory  {run.path}")
    pictures = sorted(run.samples.glob("epoch*.png"))
    if pictures:
        console.print(f"picture        {pictures[-1]}")
    checkpoint = run.best_checkpoint if selection == "best" else run.last_checkpoint
    if OUTCOME_FILE in os.environ:
        return  # a job of a sweep: what is next comes when all are done
    console.print("\nnext:")
    for text in next_commands(result["config"], checkpoint):
        console.print(f"  {text}", soft_wrap=True, markup=False)
