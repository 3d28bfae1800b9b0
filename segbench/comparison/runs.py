"""Reads one run from disk and checks that its files are complete and consistent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench.artifacts.counts import read_counts
from segbench.artifacts.pixel_counts import ImageCounts
from segbench.artifacts.result import DataInfo, Protocol, Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.scores import Scores
from segbench.artifacts.trained_as import as_trained
from segbench.data.classes import ClassSet
from segbench.errors import NewerResultError, ResultError


@dataclass(frozen=True)
class Run:
    """One finished run.

    Args:
        path: its directory.
        label: its row of the leaderboard.
        result: its record, of which the next four are parts.
        data: its images.
        protocol: how it was scored.
        classes: the classes.
        scores: of the split that was scored.
        images: its images and what was counted of them.
    """

    path: Path
    label: str
    result: Result
    data: DataInfo
    protocol: Protocol
    classes: ClassSet
    scores: Scores
    images: ImageCounts

    @property
    def names(self) -> list[str]:
        """The name of each image."""
        return self.images.names

    @property
    def groups(self) -> list[str]:
        """The group of each image."""
        return self.images.groups

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.result.seed

    @property
    def training(self) -> tuple[object, ...] | None:
        """What tells a training from others, also if its checkpoint was scored later.

        None for predictions made elsewhere. Two checkpoints of a run are one training.
        """
        training, result = self.result.training, self.result
        if training is None:
            known = result.kind == "train"
            return (result.study, result.name, result.seed) if known else None
        return tuple(training.config.get(key) for key in ("study", "name", "seed"))

    def repeats(self, other: Run) -> bool:
        """Whether it scores the training of another run again."""
        prints = {self._trained_on, other._trained_on}
        is_same_data = len(prints) == 1 or None in prints  # earlier versions do not tell it
        return self.training == other.training is not None and is_same_data

    def predicts_as(self, other: Run) -> bool:
        """Whether every image has the same confusion matrix, other than by collapse of both.

        Two trainings that predict one class everywhere have equal counts, but differ at least in
        their measured durations; a copied run does not.
        """
        if not np.array_equal(self.images.counts, other.images.counts):
            return False
        if self.only_class is not None and self.result.timings != other.result.timings:
            return False
        is_equal = np.array_equal(self.images.total, other.images.total)
        return is_equal and np.array_equal(self.images.matrices(), other.images.matrices())

    @property
    def _trained_on(self) -> str | None:
        """The fingerprint of the training images, if known."""
        training = self.result.training
        return (training.fingerprint if training else self.data.fingerprint).get("train")

    @property
    def is_untrained(self) -> bool:
        """Whether given weights were scored as they are, by a training of no epochs."""
        trained = as_trained(self.result)
        return trained is not None and trained.budget.epochs == 0

    @property
    def only_class(self) -> str | None:
        """The class that is predicted for every pixel, if there is one and the labels have more."""
        labeled, predicted = (self.images.counts[:, kind].any(axis=0) for kind in (1, 2))
        if predicted.sum() != 1 or labeled.sum() < 2:
            return None
        return self.classes.names[predicted.argmax()]


@dataclass(frozen=True)
class LeftOut:
    """A directory that was not used, and why. `broken`: its files are damaged."""

    path: Path
    reason: str
    broken: bool


def read_run(folder: Path) -> Run | LeftOut:
    """The run in a directory, or why it cannot be used."""
    directory = RunDirectory(folder)
    try:
        result = directory.read_result()
    except ResultError as error:
        reason = str(error).removeprefix(f"{folder}{os.sep}")
        remedy = "" if isinstance(error, NewerResultError) else "; rerun it"
        return LeftOut(folder, f"{reason}{remedy}", broken=True)
    if result is None:
        return LeftOut(folder, "no result.json: the run never started", broken=False)
    if result.status != "finished":
        reason = f"the run is {result.status}" + (f" ({result.reason})" if result.reason else "")
        return LeftOut(folder, reason, broken=False)
    data, protocol, classes = result.data_info, result.protocol, result.classes
    stated = result.scores.get(data.split) if data else None
    if data is None or protocol is None or classes is None or stated is None:
        return LeftOut(folder, "the run was not tested (test=false)", broken=False)
    try:
        images = read_counts(directory, result)
    except ResultError as error:
        return LeftOut(folder, f"{error}; rerun it", broken=True)
    if not images.total.any():
        reason = (
            f"the {data.split} split has no labels, so there is nothing to compare; add masks, "
            "or score another split in a separate study (segbench.evaluate ckpt=FILE split=val "
            "study=NAME)"
        )
        return LeftOut(folder, reason, broken=False)
    return Run(folder, result.name, result, data, protocol, classes, stated, images)
