"""How other programs score the same label maps: by their code where it is installed, else formulas.

Every scorer takes predictions and masks, lists of uint8 `[H, W]` in class ids with 255 for void,
and the number of classes; it returns the mIoU that the program would report, a fraction.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

VOID = 255
Maps = Sequence[np.ndarray]
Scorer = Callable[[Maps, Maps, int], float]
MMSEG = "mmseg/evaluation/metrics/iou_metric.py"
ULTRALYTICS = "ultralytics/utils/metrics.py, SemanticMetrics"
EVALUATE = "metrics/mean_iou/mean_iou.py of huggingface/evaluate"
TORCHGEO = "torchgeo/trainers/segmentation.py, configure_metrics"


@dataclass(frozen=True)
class Tool:
    """A program, or one setting of it.

    Args:
        name: of the program.
        setting: which of its scores.
        package: that is run; its version is shown. None: the formula of `source`.
        score: see the module.
        why: what makes the difference, a sentence.
        source: file that the formula is from.
    """

    name: str
    setting: str
    package: str | None
    score: Scorer
    why: str
    source: str = ""

    def origin(self) -> str:
        """`run, torchmetrics 1.9.0`, or where the formula is from."""
        if self.package is None:
            return f"formula of {self.source}"
        return f"run, {self.package} {metadata.version(self.package)}"


def tools() -> list[Tool]:
    """Every program and setting of the page."""
    return [*_libraries(), _mmsegmentation(), *_by_setting(), _ultralytics(), *_smp()]


def _libraries() -> list[Tool]:
    return [
        Tool("cityscapesScripts", "averageScoreClasses", "cityscapesscripts", cityscapes,
             "The same: int64 counts of all images, classes without a pixel left out."),
        Tool("torchmetrics", 'MulticlassJaccardIndex(average="macro", ignore_index=255)',
             "torchmetrics", jaccard_macro,
             "The same up to float32, in which it divides: classes without a pixel are left out."),
        Tool("torchmetrics", 'segmentation.MeanIoU(input_format="index")', "torchmetrics",
             sample_mean,
             "It has no ignore_index, so void became a further class; and every class of every "
             "image counts the same, instead of summing the images first."),
    ]  # fmt: skip


def _by_setting() -> list[Tool]:
    return [
        Tool("Hugging Face evaluate", "mean_iou, ignore_index=255", None, hugging_face,
             "The same: counts in float64, classes without a pixel left out (NaN).", EVALUATE),
        Tool("torchgeo", 'MulticlassJaccardIndex(average="micro")', "torchmetrics", jaccard_micro,
             "Its trainer sums all classes before it divides: a pixel counts, not a class, so the "
             f"frequent classes decide (setting of {TORCHGEO})."),
    ]  # fmt: skip


def _smp() -> list[Tool]:
    package = "segmentation-models-pytorch"
    return [
        Tool("segmentation_models.pytorch", 'iou_score(reduction="macro")', package,
             smp_score("macro"),
             "A class in neither masks nor predictions counts as 1 (zero_division=1.0): segbench "
             "reports this with absent_classes=one."),
        Tool("segmentation_models.pytorch", 'iou_score(reduction="micro")', package,
             smp_score("micro"), "All classes are summed before the division, as in torchgeo."),
        Tool("segmentation_models.pytorch", 'iou_score(reduction="macro-imagewise")', package,
             smp_score("macro-imagewise"),
             "An mIoU of each image, then the mean; every class that an image lacks counts as 1 "
             "in it."),
        Tool("segmentation_models.pytorch", 'iou_score(reduction="micro-imagewise")', package,
             smp_score("micro-imagewise"), "The summed IoU of each image, then the mean."),
    ]  # fmt: skip


def _mmsegmentation() -> Tool:
    why = ("The same up to float32, in which it adds up the pixels: from 2^24 pixels of a class on "
           "not every count exists. It rounds to two decimals.")  # fmt: skip
    if _has("mmseg"):
        return Tool("mmsegmentation", "IoUMetric, mIoU", "mmsegmentation", mmsegmentation, why)
    return Tool("mmsegmentation", "IoUMetric, mIoU", None, mmsegmentation_formula, why, MMSEG)


def _ultralytics() -> Tool:
    why = ("Classes without a pixel in the masks are left out even where they are predicted, so "
           "these false alarms cost only the classes they cover; counts are added up in "
           "float32.")  # fmt: skip
    if _has("ultralytics"):
        return Tool("Ultralytics", "SemanticMetrics.miou", "ultralytics", ultralytics, why)
    return Tool("Ultralytics", "SemanticMetrics.miou", None, ultralytics_formula, why, ULTRALYTICS)


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _long(maps: Maps) -> Iterator[torch.Tensor]:
    return (torch.from_numpy(labels.astype(np.int64))[None] for labels in maps)


def jaccard_macro(preds: Maps, masks: Maps, num_classes: int) -> float:
    """torchmetrics, mean over classes."""
    return _jaccard(preds, masks, num_classes, "macro")


def jaccard_micro(preds: Maps, masks: Maps, num_classes: int) -> float:
    """torchmetrics, all classes summed, as in torchgeo's trainer."""
    return _jaccard(preds, masks, num_classes, "micro")


def _jaccard(preds: Maps, masks: Maps, num_classes: int, average: Any) -> float:
    from torchmetrics.classification import MulticlassJaccardIndex

    metric = MulticlassJaccardIndex(num_classes, average=average, ignore_index=VOID)
    for pred, mask in zip(_long(preds), _long(masks), strict=True):
        metric.update(pred, mask)
    return float(metric.compute())


def sample_mean(preds: Maps, masks: Maps, num_classes: int) -> float:
    """torchmetrics.segmentation, with void as a further class."""
    from torchmetrics.segmentation import MeanIoU

    metric = MeanIoU(num_classes + 1, input_format="index")
    for pred, mask in zip(_long(preds), _long(masks), strict=True):
        metric.update(pred, torch.where(mask == VOID, num_classes, mask))
    return float(metric.compute())


def smp_score(reduction: str) -> Scorer:
    """segmentation_models.pytorch."""

    def score(preds: Maps, masks: Maps, num_classes: int) -> float:
        from segmentation_models_pytorch.metrics import get_stats, iou_score

        counts = [
            get_stats(pred, mask, mode="multiclass", num_classes=num_classes, ignore_index=VOID)
            for pred, mask in zip(_long(preds), _long(masks), strict=True)
        ]
        summed = [torch.cat(parts) for parts in zip(*counts, strict=True)]
        return float(iou_score(*summed, reduction=reduction, zero_division=1.0))

    return score


def cityscapes(preds: Maps, masks: Maps, num_classes: int) -> float:
    """The official script, on PNG files; class k takes the place of trainId k."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling
    from cityscapesscripts.helpers.labels import trainId2label

    official: Any = evalPixelLevelSemanticLabeling
    if not hasattr(np, "in1d"):
        np.in1d = np.isin  # type: ignore[attr-defined]  # which the script still calls
    table = np.zeros(256, np.uint8)
    table[:num_classes] = [trainId2label[k].id for k in range(num_classes)]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, pair in enumerate(zip(preds, masks, strict=True)):
            stem = Path(folder) / f"a_{number:06}_000019_"
            names = [f"{stem}pred.png", f"{stem}gtFine_labelIds.png"]
            for name, labels in zip(names, pair, strict=True):
                Image.fromarray(table[labels]).save(name, compress_level=1)
            files.append(names)
        official.args.quiet, official.args.JSONOutput = True, False
        official.args.evalInstLevelScore = False
        with contextlib.redirect_stdout(io.StringIO()):
            found = official.evaluateImgLists(*map(list, zip(*files, strict=True)), official.args)
    return float(found["averageScoreClasses"])


def _histograms(preds: Maps, masks: Maps, num_classes: int) -> Iterator[list[torch.Tensor]]:
    """Hits, predicted and labeled pixels of each image by `torch.histc`, as mmsegmentation has."""
    for pred, mask in zip(_long(preds), _long(masks), strict=True):
        inside = mask != VOID
        pred, mask = pred[inside], mask[inside]
        yield [
            torch.histc(values.float(), bins=num_classes, min=0, max=num_classes - 1)
            for values in (pred[pred == mask], pred, mask)
        ]


def mmsegmentation_formula(preds: Maps, masks: Maps, num_classes: int) -> float:
    """Counts summed in float32, NaN left out, rounded to two decimals of percent."""
    parts = list(_histograms(preds, masks, num_classes))
    hits = sum(part[0] for part in parts)
    union = sum(part[1] + part[2] - part[0] for part in parts)
    return round(float(np.nanmean((hits / union).numpy())) * 100, 2) / 100


def mmsegmentation(preds: Maps, masks: Maps, num_classes: int) -> float:
    """The installed library."""
    from mmseg.evaluation.metrics.iou_metric import IoUMetric

    metric = IoUMetric()
    metric.dataset_meta = {"classes": [str(k) for k in range(num_classes)]}
    found = [
        metric.intersect_and_union(pred, mask, num_classes, VOID)
        for pred, mask in zip(_long(preds), _long(masks), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return float(metric.compute_metrics(found)["mIoU"]) / 100


def hugging_face(preds: Maps, masks: Maps, num_classes: int) -> float:
    """Counts in float64, NaN left out; the library loads this code from its hub."""
    hits, union = np.zeros((2, num_classes))
    for pred, mask in zip(preds, masks, strict=True):
        inside = mask != VOID
        kept, true = pred[inside], mask[inside]
        found = [
            np.histogram(values, bins=num_classes, range=(0, num_classes - 1))[0]
            for values in (kept[kept == true], kept, true)
        ]
        hits += found[0]
        union += found[1] + found[2] - found[0]
    with np.errstate(invalid="ignore"):
        return float(np.nanmean(hits / union))


def ultralytics_formula(preds: Maps, masks: Maps, num_classes: int) -> float:
    """A float32 confusion matrix; mean over the classes that the masks contain."""
    matrix = torch.zeros(num_classes, num_classes)
    for pred, mask in zip(_long(preds), _long(masks), strict=True):
        valid = (mask != VOID) & (pred < num_classes)
        counts = torch.bincount(num_classes * mask[valid] + pred[valid], minlength=num_classes**2)
        matrix += counts.reshape(num_classes, num_classes).float()
    hits = torch.diagonal(matrix)
    union = matrix.sum(1) + matrix.sum(0) - hits
    return float((hits / union)[matrix.sum(1) > 0].mean())


def ultralytics(preds: Maps, masks: Maps, num_classes: int) -> float:
    """The installed library."""
    from ultralytics.utils.metrics import SemanticMetrics

    metric = SemanticMetrics(names={k: str(k) for k in range(num_classes)})
    for pred, mask in zip(_long(preds), _long(masks), strict=True):
        metric.update_stats(pred.int(), mask.int())
    metric.process()
    return float(metric.miou)
