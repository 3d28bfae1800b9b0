"""The scores that `compare` knows by name, and how each is had from the counts of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segbench.comparison.corrupted import Corrupted, corrupted_counts
from segbench.comparison.entrants import HEADLINES, Entrant, count
from segbench.comparison.runs import Run
from segbench.comparison.scoring import Bins, Ratio, Scoring, Worst
from segbench.comparison.study import Study
from segbench.errors import DataError
from segbench.metrics.fine_grained import WORST, class_scores, image_means

PERCENT = "%"
CORRUPTED = "mIoU_corrupted"
OF_A_CHECKPOINT = (CORRUPTED, "SCE", "NLL", "Brier")  # label maps and confidences are not enough


@dataclass(frozen=True)
class Measure:
    """A score of a model.

    Args:
        name: as in `metric=`.
        help: its definition, in a sentence.
        scoring: how it is computed.
        counts: of one run, `[N, ...]` as `scoring` takes them; None where they were not counted.
        is_lower_better: whether a small value is good.
        unit: `%` for fractions.
        made_by: keys of `segbench.evaluate` that count it; empty if every run has it.
    """

    name: str
    help: str
    scoring: Scoring
    counts: Callable[[Run], np.ndarray | None]
    is_lower_better: bool = False
    unit: str = PERCENT
    made_by: str = ""


def entrants_by(study: Study, name: str) -> list[Entrant]:
    """The models of a study, with the counts of one measure.

    Raises:
        DataError: a run lacks them; it says which command makes them.
    """
    measure = MEASURES[name]
    if name == CORRUPTED:
        _refuse_unequal_corruptions(study)
    found, lacking = [], []
    for label, runs in study.runs.items():
        counts = [_counts(measure, run) for run in runs]
        lacking += [run for run, each in zip(runs, counts, strict=True) if each is None]
        known = [each for each in counts if each is not None]
        if len({each.shape for each in known}) > 1:
            raise DataError(f"metric={name}: the runs of {label} were counted differently")
        if len(known) == len(runs):
            seeds = tuple(run.seed for run in runs)
            found.append(Entrant(label, seeds, np.stack(known), measure.scoring))
    if lacking:
        names = ", ".join(f"{run.label} seed {run.seed}" for run in lacking[:6])
        names += ", ..." if len(lacking) > 6 else ""
        raise DataError(
            f"metric={name}: {names} lack what it needs. {_remedy(measure, lacking[0])}"
        )
    return found


def _counts(measure: Measure, run: Run) -> np.ndarray | None:
    try:
        return measure.counts(run)
    except (ValueError, KeyError) as error:
        raise DataError(f"metric={measure.name}: {run.images.file}: {error}") from None


def _remedy(measure: Measure, run: Run) -> str:
    """The command that counts a measure for a run."""
    source, keys = run.protocol.source or "", measure.made_by
    if source.startswith("predictions="):
        if measure.name in OF_A_CHECKPOINT:
            return "Label maps cannot give it; leave them out with only=[NAME,...]"
        keys = keys.replace("calibration=true", "confidence=FOLDER") + " data=NAME"
    elif not source:
        weights = run.protocol.selection or "best"
        source = f"ckpt={run.path}/checkpoints/{weights}.ckpt"
    command = f"python -m segbench.evaluate {source} {keys} study=NAME"
    return f"Count it with {command}, for every run, and compare that study"


def _refuse_unequal_corruptions(study: Study) -> None:
    done: dict[str, str] = {}
    for label, runs in study.runs.items():
        for run in runs:
            if scored := run.scores.corrupted:
                words = "; ".join(f"{name} {','.join(by)}" for name, by in scored.items())
                done.setdefault(words, label)
    if len(done) > 1:
        parts = [f"{label}: {words}" for words, label in done.items()]
        raise DataError(f"metric={CORRUPTED}: other corruptions; {' against '.join(parts)}")


def absent_policy(study: Study, name: str) -> str:
    """The policy for absent classes: it is the study's for IoU and Dice of summed counts alone."""
    return study.absent if name in (*HEADLINES, CORRUPTED) else "exclude"


def _means(values: np.ndarray) -> np.ndarray:
    """Values of images `[N, K]` as numerator, denominator and labels: `[N, 3, K]`."""
    known = ~np.isnan(values)
    return np.stack([np.where(known, values, 0), known, known], axis=1).astype(np.float64)


def _by_image(score: str, is_class: bool) -> Callable[[Run], np.ndarray]:
    def values(run: Run) -> np.ndarray:
        found = class_scores(run.images.counts, score)
        return found if is_class else image_means(found)[:, None]

    return values


def _sums(key: str) -> Callable[[Run], np.ndarray | None]:
    def read(run: Run) -> np.ndarray | None:
        if key not in run.images.extras:
            return None
        sums = run.images.extra(key)
        return np.concatenate([sums, sums[:, 1:]], axis=1)

    return read


def _bins(key: str) -> Callable[[Run], np.ndarray | None]:
    return lambda run: run.images.extra(key) if key in run.images.extras else None


def _boundary_iou(run: Run) -> np.ndarray | None:
    bands = run.images.boundary
    return None if bands is None else np.concatenate([bands, bands[:, 1:]], axis=1)


def _overlaps(score: str) -> list[Measure]:
    """mIoU or mDice, summed, by image and by class of an image, and their worst."""
    metric = f"m{score}"
    per_image = f"mean over images of the mean {score} of the classes of their masks"
    per_class = f"mean over classes of the mean {score} of the images whose masks contain them"
    source = " (Wang et al. 2023)"
    found = [
        Measure(metric, f"mean over classes of the {score} of all images together", Ratio(),
                lambda run: count(run.images.counts, metric)),
        Measure(f"{metric}_I", per_image + source, Ratio(),
                lambda run: _means(_by_image(score, False)(run))),
        Measure(f"{metric}_C", per_class + source, Ratio(),
                lambda run: _means(_by_image(score, True)(run))),
    ]  # fmt: skip
    for percent in WORST:
        among = f", over the worst {percent}% of the images{source}"
        found += [
            Measure(f"{metric}_I{percent}", per_image + among, Worst(percent),
                    _by_image(score, False)),
            Measure(f"{metric}_C{percent}", per_class + among, Worst(percent),
                    _by_image(score, True)),
        ]  # fmt: skip
    return found


UNBOUNDED = (0.0, float("inf"))
MEASURES = {
    measure.name: measure
    for measure in (
        *_overlaps("IoU"),
        *_overlaps("Dice"),
        Measure("boundary_IoU", "IoU of the bands along the outlines (Cheng et al. 2021)", Ratio(),
                _boundary_iou, made_by="boundary=true"),
        Measure("boundary_F", "F-score of the outlines, mean over images (Csurka et al. 2013)",
                Ratio(), _sums("sum_boundary_F"), made_by="boundary=true"),
        Measure("NSD", "share of the outlines within the tolerance (Nikolov et al. 2021)", Ratio(),
                _sums("sum_NSD"), made_by="surface=true"),
        Measure(CORRUPTED, "mean mIoU on corrupted images (ImageNet-C)", Corrupted(),
                corrupted_counts, made_by="corruptions=all"),
        Measure("HD95", "95th percentile of the distance between the outlines", Ratio(UNBOUNDED),
                _sums("sum_HD95"), True, "units of the spacing", "surface=true"),
        Measure("ECE", "expected calibration error (Guo et al. 2017)", Bins(), _bins("bins_ECE"),
                True, made_by="calibration=true"),
        Measure("SCE", "static, or class-wise, calibration error (Nixon et al. 2019)", Bins(),
                _bins("bins_SCE"), True, made_by="calibration=true"),
        Measure("NLL", "mean negative log-likelihood of the true class", Ratio(UNBOUNDED),
                _sums("sum_NLL"), True, "nats", "calibration=true"),
        Measure("Brier", "mean squared distance of the probabilities from the truth (0 to 2)",
                Ratio((0.0, 2.0)), _sums("sum_Brier"), True, "", "calibration=true"),
        Measure("AURC", "area under the risk-coverage curve, mean over images", Ratio(),
                _sums("sum_AURC"), True, made_by="calibration=true"),
    )
}  # fmt: skip
