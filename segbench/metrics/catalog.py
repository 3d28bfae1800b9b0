"""The metrics beyond the confusion matrix, one row each: how an image is counted, what it means.

To add a metric:

1. write its counts in a file of this folder, as `boundary_counts` does,
2. add a row to `CATALOG` below,
3. add a field to `artifacts.scores.Scores`, which says what result.json contains.

Then `segbench.evaluate` counts it and shows it in every report, `segbench.compare` gives it an
interval and tests it (`metric=NAME`, `metrics=[NAME]`), and `segbench.paper` prints it.

Counts are arrays per image that add up over images: `[2, K]` is a numerator and a denominator,
`[K, 15, 3]` are bins of confidences (see `calibration`). K is C for a score by class, otherwise 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from segbench.metrics.calibration import calibration_counts, calibration_error
from segbench.metrics.robustness import CORRUPTED
from segbench.metrics.scores import mean_over_classes, or_none, overlap, with_weights

if TYPE_CHECKING:
    from torch import Tensor

Counts = dict[str, np.ndarray]
PERCENT = "%"


@dataclass(frozen=True)
class ImagePair:
    """The prediction and the mask of one image: all that a metric may look at.

    Args:
        pred: uint8 `[H, W]`, class ids or void.
        mask: uint8 `[H, W]`, class ids or `ignore_index`.
        num_classes: C.
        ignore_index: the id of unlabeled pixels.
        confidence: float32 `[H, W]`, the probability of the predicted class, if known.
        probs: float `[C, H, W]` on the device of the model, if known.
        spacing: height and width of a pixel.
        tolerance: of outlines, in units of `spacing`.
    """

    pred: np.ndarray
    mask: np.ndarray
    num_classes: int
    ignore_index: int = 255
    confidence: np.ndarray | None = None
    probs: Tensor | None = None
    spacing: tuple[float, float] = (1.0, 1.0)
    tolerance: float = 1.0


@dataclass(frozen=True)
class Counter:
    """Counts an image for one or several metrics at once.

    Args:
        option: the key of `segbench.evaluate` that turns it on.
        count: the counts by metric; empty if the pair lacks what they need.
        needs_probabilities: whether a model has to give them along with the labels.
    """

    option: str
    count: Callable[[ImagePair], Counts]
    needs_probabilities: bool = False


@dataclass(frozen=True)
class ImageMetric:
    """A metric that is counted image by image.

    Args:
        name: as in `metric=`, and as its field in `Scores`.
        help: its definition, in a sentence.
        counter: what counts it; None if `segbench.evaluate` counts it elsewhere.
        by_class: whether there is a value for each class, and their mean as `mean_NAME`.
        binned: whether the counts are bins of confidences, and the score their calibration error.
        limits: the lowest and the highest possible score.
        is_lower_better: whether a small value is good.
        unit: `%` for fractions.
        made_by: the argument of `segbench.evaluate` that counts it, if not by `counter`.
    """

    name: str
    help: str
    counter: Counter | None
    by_class: bool = False
    binned: bool = False
    limits: tuple[float, float] = (0.0, 1.0)
    is_lower_better: bool = False
    unit: str = PERCENT
    made_by: str = ""

    @property
    def argument(self) -> str:
        """The argument of `segbench.evaluate` that counts it."""
        return f"{self.counter.option}=true" if self.counter else self.made_by


# The modules below import PyTorch, SciPy or OpenCV, which `compare` does not need.
def _boundary(pair: ImagePair) -> Counts:
    from segbench.metrics.boundary import boundary_counts

    return boundary_counts(pair.pred, pair.mask, pair.num_classes, pair.ignore_index)


def _confidence(pair: ImagePair) -> Counts:
    from segbench.metrics.probabilistic import image_aurc

    if pair.confidence is None:
        return {}
    given = pair.pred, pair.confidence, pair.mask, pair.ignore_index
    aurc = np.array([image_aurc(*given)])
    return {"ECE": calibration_counts(*given)[None], "AURC": with_weights(aurc)}


def _probabilities(pair: ImagePair) -> Counts:
    from torch import from_numpy

    from segbench.metrics.probabilistic import probability_counts

    if pair.probs is None:
        return {}
    mask = from_numpy(pair.mask).to(pair.probs.device)
    return probability_counts(pair.probs, mask, pair.ignore_index)


def _surface(pair: ImagePair) -> Counts:
    from segbench.metrics.surface import surface_counts

    return surface_counts(
        pair.pred, pair.mask, pair.num_classes, pair.ignore_index, pair.spacing, pair.tolerance
    )


_OUTLINES = Counter("boundary", _boundary)
_CONFIDENCE = Counter("calibration", _confidence, needs_probabilities=True)
_PROBABILITIES = Counter("calibration", _probabilities, needs_probabilities=True)
_SURFACES = Counter("surface", _surface)
_UNBOUNDED = (0.0, float("inf"))
_lower = partial(ImageMetric, is_lower_better=True)

CATALOG: Mapping[str, ImageMetric] = {
    metric.name: metric
    for metric in (
        ImageMetric("boundary_IoU", "IoU of the bands along the outlines (Cheng et al. 2021)",
                    _OUTLINES, by_class=True),
        ImageMetric("boundary_F", "F-score of the outlines, mean over images (Csurka et al. 2013)",
                    _OUTLINES, by_class=True),
        ImageMetric("NSD", "share of the outlines within the tolerance (Nikolov et al. 2021)",
                    _SURFACES, by_class=True),
        ImageMetric(CORRUPTED, "mean mIoU on corrupted images (ImageNet-C)",
                    None, made_by="corruptions=all"),
        _lower("HD95", "95th percentile of the distance between the outlines",
               _SURFACES, by_class=True, limits=_UNBOUNDED, unit="units of the spacing"),
        _lower("ECE", "expected calibration error (Guo et al. 2017)", _CONFIDENCE, binned=True),
        _lower("SCE", "static, or class-wise, calibration error (Nixon et al. 2019)",
               _PROBABILITIES, by_class=True, binned=True),
        _lower("NLL", "mean negative log-likelihood of the true class",
               _PROBABILITIES, limits=_UNBOUNDED, unit="nats"),
        _lower("Brier", "mean squared distance of the probabilities from the truth (0 to 2)",
               _PROBABILITIES, limits=(0.0, 2.0), unit=""),
        _lower("AURC", "area under the risk-coverage curve, mean over images", _CONFIDENCE),
    )
}  # fmt: skip
OPTIONS = tuple(sorted({row.counter.option for row in CATALOG.values() if row.counter}))


def count_image(pair: ImagePair, options: Iterable[str]) -> Counts:
    """Counts an image for all metrics of some options of `segbench.evaluate`."""
    found: Counts = {}
    for counter in _counters(options):
        found |= counter.count(pair)
    return found


def need_probabilities(options: Iterable[str]) -> bool:
    """Whether these options count what only the probabilities of a model tell."""
    return any(counter.needs_probabilities for counter in _counters(options))


def _counters(options: Iterable[str]) -> Iterable[Counter]:
    wanted = set(options)
    counters = dict.fromkeys(row.counter for row in CATALOG.values() if row.counter)
    return (counter for counter in counters if counter.option in wanted)


def image_metric_scores(
    totals: Mapping[str, np.ndarray], classes: Sequence[str]
) -> dict[str, object]:
    """The scores of summed counts, as the fields of `artifacts.scores.Scores`.

    Args:
        totals: by metric, the sum of the counts of all images.
        classes: C class names.

    Returns:
        Plain types; None where a score is undefined.
    """
    found: dict[str, object] = {}
    for name, total in totals.items():
        metric = CATALOG[name]
        values = calibration_error(total) if metric.binned else overlap(*total)
        if not metric.by_class:
            found[name] = or_none(values[0])
            continue
        # SCE is the mean in the literature, so its values by class have the longer name.
        by_class, mean = (f"class_{name}", name) if metric.binned else (name, f"mean_{name}")
        found[by_class] = dict(zip(classes, map(or_none, values), strict=True))
        found[mean] = or_none(mean_over_classes(values))
    return found
