"""What the terminal shows when a training is over: scores, where they are, what to do next."""

from __future__ import annotations

from typing import Any

from segbench.artifacts.run_directory import RunDirectory
from segbench.console import console, table
from segbench.metrics.scores import percent


def print_report(result: dict[str, Any], run: RunDirectory) -> None:
    """Prints the test scores by class, the run directory, and the next commands to try.

    Of a run that was not tested, one line on val.
    """
    show = console().print
    found, val = result["scores"].get("test"), result["scores"]["val"]
    selection = result["protocol"]["selection"]
    if found is None:
        score = percent(val["mIoU"] if val else None)
        show(f"val mIoU {score} %, {selection} weights; not tested (test=false)")
        return
    title = f"test, {selection} weights (epoch {result['selected_epoch']})"
    classes = table("class", "IoU", "Dice", "recall", "val IoU", title=title)
    for name in found["IoU"]:
        values = [found[key][name] for key in ("IoU", "Dice", "recall")]
        classes.add_row(name, *map(percent, values), percent(val["IoU"].get(name) if val else None))
    classes.add_section()
    mean = [found["mIoU"], found["mDice"], found["mean_acc"], val["mIoU"] if val else None]
    classes.add_row("mean", *map(percent, mean), style="bold")
    show(classes)
    show(
        f"test mIoU {percent(found['mIoU'])} %, pixel_acc "
        f"{percent(found['pixel_acc'])} % (absent classes excluded)"
    )
    if tested := result["data_info"].get("tested"):
        images = result["data_info"]["num_images"]["test"]
        show(
            f"{tested} of the {images} test images were tested (trainer.limit_test_batches): no "
            "score to compare"
        )
    timings = result["timings"]
    show(
        f"{timings['images_per_s']:.1f} images/s, {timings['waiting_for_data']:.1%} of the "
        f"training time waiting for data, {timings['total_seconds']:.0f} s in all"
    )
    show(f"\nrun directory  {run.path}")
    pictures = sorted(run.samples.glob("epoch*.png"))
    if pictures:
        show(f"picture        {pictures[-1]}")
    checkpoint = run.best_checkpoint if selection == "best" else run.last_checkpoint
    show("\nnext:")
    for text in (
        f"python -m segbench.predict ckpt={checkpoint} source=PHOTO_OR_FOLDER",
        f"python -m segbench.evaluate ckpt={checkpoint}",
        "python -m segbench.train -m model=unet,unet_resnet34 seed=0,1,2     a sweep",
    ):
        show(f"  {text}", soft_wrap=True)
