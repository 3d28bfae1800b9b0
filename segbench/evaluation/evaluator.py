"""Scores a model, or a folder of label maps from any program, on a split of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from segbench.artifacts.segmenter import Segmenter
from segbench.data.batch import parts
from segbench.data.classes import ClassSet
from segbench.data.dataset import Record, Source
from segbench.data.files import read_raw_mask
from segbench.data.sources.cityscapes import instance_file
from segbench.errors import DataError
from segbench.evaluation.predictions import find_predictions, read_confidence, read_prediction
from segbench.evaluation.summary import Extras, Wanted, count_extras, count_matrix
from segbench.inference.labels import FiniteLogits
from segbench.metrics.catalog import need_probabilities
from segbench.metrics.confusion import ConfusionPerImage


@dataclass(frozen=True)
class Evaluation:
    """The counts of an evaluation, image by image.

    Args:
        records: the images scored, N.
        matrices: int64 `[N, C, C + 1]`.
        extras: the other counts of each image, N.
        pred_of: returns the label map of the image at a position, uint8 `[H, W]`.
        left_out: why images of the split were not scored (`partial=true`).
        corrupted, corrupted_counts: see `robustness.count_corrupted`.
    """

    records: list[Record]
    matrices: np.ndarray
    extras: list[Extras]
    pred_of: Callable[[int], np.ndarray]
    left_out: list[str] = field(default_factory=list)
    corrupted: dict[str, dict[str, float | None]] | None = None
    corrupted_counts: np.ndarray | None = None


def evaluate_checkpoint(
    segmenter: Segmenter,
    data: Any,
    split: str,
    wanted: Wanted,
    progress: Callable[[int, int], None],
) -> Evaluation:
    """Predicts and counts a split at the original resolution of its masks.

    Confusion matrices are counted on the model's device and fetched once, at the end.

    Args:
        segmenter: the model.
        data: a `SegmentationData`; images are resized as in training, masks are not.
        split: val or test.
        wanted: what to count beside the confusion matrices.
        progress: called with the number of images done and their total.

    Raises:
        NonFiniteLogitsError: the logits contain NaN or infinity.
    """
    records, classes = data.records(split), segmenter.classes
    metric = ConfusionPerImage(classes, [record.name for record in records])
    extras: dict[int, Extras] = {}
    predictor, device, finite = segmenter.predictor, segmenter.device, FiniteLogits()
    data.device = device  # determines the batch size
    loader = data.val_dataloader() if split == "val" else data.test_dataloader()
    with_probs = need_probabilities(wanted.options)
    for images, masks, indices, names in chain.from_iterable(map(parts, loader)):
        size = (masks.shape[1], masks.shape[2])
        probs = None
        with segmenter.autocast():
            if with_probs:
                pred, probs = predictor.labels_and_probs(images.to(device), size, names, finite)
                finite.check()  # the confidence counts cannot handle NaN
            else:
                pred = predictor.labels(images.to(device), size, names, finite)
        metric.update(pred, masks.to(device, non_blocking=True), indices)
        for i, index in enumerate(indices.tolist()):
            one = None if probs is None else probs[i]
            extras[index] = _extras_of(pred[i], masks[i], records[index], classes, wanted, one)
        progress(len(extras), len(records))
    finite.check()
    order, matrices = metric.compute()

    def pred_of(position: int) -> np.ndarray:
        sample = data.dataset(split)[(0, int(order[position]))]
        size = (sample["mask"].shape[0], sample["mask"].shape[1])
        with segmenter.autocast():
            return predictor.labels(sample["image"][None].to(device), size)[0].cpu().numpy()

    return Evaluation([records[i] for i in order], matrices, [extras[i] for i in order], pred_of)


def _extras_of(
    pred: Tensor,
    mask: Tensor,
    record: Record,
    classes: ClassSet,
    wanted: Wanted,
    probs: Tensor | None,
) -> Extras:
    """What is counted of one image beside its matrix; probabilities where they are."""
    if not wanted.options and not instance_file(record.mask):
        return Extras()  # the prediction stays on the device
    sure = None if probs is None else probs.amax(0).cpu().numpy()
    on_host = pred.cpu().numpy(), mask.numpy()
    return count_extras(*on_host, record, classes, wanted, sure, probs=probs)


def evaluate_predictions(
    folder: Path,
    source: Source,
    split: str,
    format: str,
    void_values: Sequence[int],
    partial: bool,
    wanted: Wanted,
    confidence: Path | None,
    workers: int,
    progress: Callable[[int, int], None],
) -> Evaluation:
    """Counts a folder of label maps, several files in parallel.

    Args:
        folder: contains one label map per image.
        source: the data set.
        split: val or test.
        format: see `predictions.read_prediction`.
        void_values: see `predictions.read_prediction`.
        partial: score what can be scored instead of raising an error.
        wanted: what to count beside the confusion matrices.
        confidence: contains the confidence of the predicted class for each image, if known.
        workers: number of files read and counted in parallel.
        progress: called with the number of images done and their total.

    Raises:
        DataError: files are missing, superfluous, of the wrong size or with wrong values (the
            message lists all of them), or none is left to score.
    """
    records, classes = source.records(split), source.classes
    found, problems = find_predictions(folder, records)
    sure: dict[int, Path] = {}
    if confidence is not None:
        sure, more = find_predictions(confidence, records, "confidence")
        problems += [f"confidence: {problem}" for problem in more]

    def count(index: int) -> tuple[np.ndarray, Extras] | DataError:
        try:
            return _evaluate_file(
                found[index], source, records[index], format, void_values, wanted, sure.get(index)
            )
        except DataError as error:
            return error

    kept, matrices, extras = [], [], []
    with ThreadPoolExecutor(workers) as pool:
        for done, (index, outcome) in enumerate(
            zip(sorted(found), pool.map(count, sorted(found)), strict=True), 1
        ):
            if isinstance(outcome, DataError):
                problems.append(str(outcome))
            else:
                kept.append(index)
                matrices.append(outcome[0])
                extras.append(outcome[1])
            progress(done, len(found))
    if problems and not partial:
        raise DataError(
            f"predictions={folder}: {len(problems)} problem{'s' * (len(problems) > 1)}, nothing "
            "was scored. Fix "
            + ("them" if not kept else "them, or score what is there with partial=true")
            + ".\n"
            + "\n".join(f"  - {p}" for p in problems)
        )
    if not kept:
        reasons = "\n".join(f"  - {p}" for p in problems)
        raise DataError(
            f"predictions={folder}: no file can be scored on the {split} split.\n{reasons}"
        )

    def pred_of(position: int) -> np.ndarray:
        return read_prediction(found[kept[position]], classes, format, void_values)

    chosen = [records[index] for index in kept]
    return Evaluation(chosen, np.stack(matrices), extras, pred_of, problems)


def _evaluate_file(
    file: Path,
    source: Source,
    record: Record,
    format: str,
    void_values: Sequence[int],
    wanted: Wanted,
    confidence: Path | None,
) -> tuple[np.ndarray, Extras]:
    classes: ClassSet = source.classes
    pred = read_prediction(file, classes, format, void_values)
    mask = source.read(record)[1]
    matrix = count_matrix(pred, mask, record, classes)
    label_ids = read_raw_mask(file).astype(np.uint8) if format == "label_ids" else None
    sure = None if confidence is None else read_confidence(confidence, mask.shape)
    return matrix, count_extras(pred, mask, record, classes, wanted, sure, label_ids)
