"""The decisive images of a comparison: image, mask, and predictions made again.

A run stores the counts of each image, not its label map. If its checkpoint and the data are on this
machine, the few label maps that a report shows are predicted again; if not, the report omits them
and says why. They are for display only: no number is computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segbench.artifacts.run_directory import RunDirectory
from segbench.comparison.runs import Run
from segbench.system.console import progress

SAME = 0.01  # of the labeled pixels: if hits or misses differ by more, it is another prediction


@dataclass
class Seen:
    """One image: RGB uint8 `[H, W, 3]`, mask uint8 `[h, w]`, and label maps by model."""

    image: np.ndarray
    mask: np.ndarray
    preds: dict[str, np.ndarray] = field(default_factory=dict)


def checkpoint_of(run: Run) -> Path | None:
    """The checkpoint that was tested, if it still exists."""
    folder = RunDirectory(run.path)
    is_best = run.protocol.selection == "best"
    file = folder.best_checkpoint if is_best else folder.last_checkpoint
    return file if run.result.kind == "train" and file.is_file() else None


def predict_again(runs: Sequence[Run], names: Sequence[str]) -> tuple[dict[str, Seen], str]:
    """Reads images and predicts them with the checkpoints of runs.

    Args:
        runs: the runs whose predictions are needed, all of one study.
        names: names of the images.

    Returns:
        The available images, and why something is missing (empty if nothing is).
    """
    checkpoints = [file for run in runs if (file := checkpoint_of(run))]
    if not names or len(checkpoints) < len(runs):
        return {}, "not every run has its checkpoint in its folder"
    try:
        return _see(runs, checkpoints, names), ""
    except Exception as error:  # moved data, foreign code, memory: the report works without them
        return {}, str(error) or type(error).__name__


def _see(runs: Sequence[Run], checkpoints: Sequence[Path], names: Sequence[str]) -> dict[str, Seen]:
    from segbench.artifacts.segmenter import Segmenter

    found: dict[str, Seen] = {}
    with progress("Predicting the decisive images", len(runs) * len(names)) as show:
        for number, (run, file) in enumerate(zip(runs, checkpoints, strict=True)):
            segmenter = Segmenter(file)
            source = segmenter.source(None)  # models may use other bands of the same images
            records = {r.name: r for r in source.records(run.data.split)}
            for done, name in enumerate((n for n in names if n in records), 1):
                image, mask = source.read(records[name])
                seen = found.setdefault(name, Seen(segmenter.bands.displayed(image), mask))
                pred = segmenter.predict(image, with_probs=False).labels
                if _is_as_tested(pred, seen.mask, run, name):
                    seen.preds[run.label] = pred
                show(number * len(names) + done)
    return found


def _is_as_tested(pred: np.ndarray, mask: np.ndarray, run: Run, name: str) -> bool:
    """Whether a prediction has the hits that were counted: not so where data or code changed."""
    counted, labeled, _ = run.images.counts[run.names.index(name)]
    if pred.shape != mask.shape:
        return False
    hits = int(((pred == mask) & (mask < len(counted))).sum())
    return abs(hits - int(counted.sum())) <= SAME * max(1, int(labeled.sum()))
