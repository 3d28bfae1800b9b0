"""The scores that `compare` knows by name, and how each is had from the counts of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from segbench.comparison.corrupted import Corrupted, corrupted_counts
from segbench.comparison.entrants import HEADLINES, Entrant, count
from segbench.comparison.runs import Run
from segbench.comparison.scoring import Bins, Ratio, Scoring, Worst
from segbench.comparison.study import Study
from segbench.config import nearest
from segbench.errors import ConfigError, DataError, first_few
from segbench.metrics.catalog import CATALOG, PERCENT, ImageMetric
from segbench.metrics.fine_grained import WORST, class_scores, image_means
from segbench.metrics.robustness import CORRUPTED

APPROXIMATE = (
    "Intervals of scores over the worst images are approximate: of those at 95%, 82 to 98% "
    "contained the truth in simulations."
)
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

    @property
    def is_approximate(self) -> bool:
        """Whether its intervals contain the truth less often than they say, see `APPROXIMATE`."""
        return self.scoring.is_biased


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
        names = first_few([f"{run.label} seed {run.seed}" for run in lacking], 6)
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


def check_metrics(headline: str, further: Sequence[str]) -> None:
    """Checks the keys `metric` and `metrics`.

    Raises:
        ConfigError: there is no such metric, one is given twice, or less of the headline is better.
    """
    for key, name in (("metric", headline), *(("metrics", name) for name in further)):
        if "," in name:
            first, _, rest = name.partition(",")
            raise ConfigError(
                f"{key}={name}: metric takes one; set metric={first} metrics=[{rest}]"
            )
        if name not in MEASURES:
            near = nearest(name, MEASURES)
            hint = f"; did you mean '{near}'?" if near else ""
            raise ConfigError(f"{key}: {name}: there is no such metric{hint}; known: "
                              f"{', '.join(MEASURES)}")  # fmt: skip
    if len(set(further)) < len(further):
        raise ConfigError(f"metrics={','.join(further)}: name each metric once")
    if MEASURES[headline].is_lower_better:
        tested = [name for name, measure in MEASURES.items() if not measure.is_lower_better]
        raise ConfigError(
            f"metric={headline}: less is better, but models are ranked by a score of which more is "
            f"better: {', '.join(tested)}. Add it with metrics=[{headline}]"
        )


def definition(name: str) -> str:
    """What a score is, in a sentence or two."""
    told = f"{name}: {MEASURES[name].help}."
    return f"{told} {APPROXIMATE}" if MEASURES[name].is_approximate else told


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


def _counted(metric: ImageMetric) -> Measure:
    """A metric of the catalog."""

    def counts(run: Run) -> np.ndarray | None:
        found = run.images.counts_of(metric.name)
        if found is None or metric.binned:
            return found
        return np.concatenate([found, found[:, 1:]], axis=1)

    is_corrupted = metric.name == CORRUPTED
    scoring: Scoring = Bins() if metric.binned else Ratio(metric.limits)
    return Measure(
        metric.name,
        metric.help,
        Corrupted() if is_corrupted else scoring,
        corrupted_counts if is_corrupted else counts,
        metric.is_lower_better,
        metric.unit,
        metric.argument,
    )


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


MEASURES = {
    measure.name: measure
    for measure in (*_overlaps("IoU"), *_overlaps("Dice"), *map(_counted, CATALOG.values()))
}
