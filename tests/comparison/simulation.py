"""Simulated studies with a known truth: models, seeds, drives, and correlated frames.

A frame has a scene (pixels per class and difficulty) that drifts slowly along its drive; all runs
see the same scenes. A run has its own skill per class (the seed effect) and its own luck on each
scene, which drifts, too. A model may be better on some scenes for all its seeds; over infinitely
many frames this averages out. With `drive_sd > 0` each drive is harder or easier as a whole.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from segbench.comparison.entrants import Entrant, scores_of

PIXELS = 10_000


@dataclass(frozen=True)
class World:
    """Parameters of a simulated experiment. Standard deviations are in logits of the recall."""

    groups: int = 5
    frames: int = 60
    classes: int = 6
    seed_sd: float = 0.10
    scene_sd: float = 0.6
    luck_sd: float = 0.3
    taste_sd: float = 0.0
    drive_sd: float = 0.0
    memory: float = 0.8  # correlation of neighboring frames
    size_sd: float = 0.0  # of the logarithm of the pixels of an image

    def names(self) -> list[str]:
        return [f"drive{g}" for g in range(self.groups) for _ in range(self.frames)]

    def scenes(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Pixels per class `[N, C]` and difficulty per class `[N, C]` of all frames."""
        size = np.exp(0.5 * self._drift(rng, (self.classes,)))
        size *= np.linspace(1.0, 0.2, self.classes)
        pixels = PIXELS * np.ones((len(size), 1))
        if self.size_sd:
            pixels *= np.exp(self.size_sd * rng.standard_normal(pixels.shape))
        labeled = np.round(pixels * size / size.sum(axis=1, keepdims=True))
        hard = self.scene_sd * self._drift(rng, (self.classes,))
        drive = self.drive_sd * rng.standard_normal((self.groups, 1, self.classes))
        return labeled, hard + np.repeat(drive, self.frames, axis=1).reshape(hard.shape)

    def run_counts(
        self, scenes: tuple[np.ndarray, np.ndarray], skill: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Counts `[N, 3, C]` of one run: a model's skill, a seed's effect, and luck."""
        labeled, hard = scenes
        seed = self.seed_sd * rng.standard_normal(self.classes)
        luck = self.luck_sd * self._drift(rng, (self.classes,))
        recall = 1 / (1 + np.exp(-(1.0 + skill + seed - hard + luck)))
        hit = np.round(labeled * recall)
        missed = (labeled - hit).sum(axis=1, keepdims=True)
        predicted = hit + np.round(missed / self.classes)
        return np.stack([hit, labeled + predicted - hit, labeled], axis=1).astype(np.int64)

    def study(
        self, rng: np.random.Generator, seeds: int = 5, skills: tuple[float, ...] = (0.0, 0.0)
    ) -> list[Entrant]:
        """One experiment: every model with `seeds` runs on the same frames."""
        labeled, hard = self.scenes(rng)
        models = []
        for m, skill in enumerate(skills):
            scenes = labeled, hard + self.taste_sd * self._drift(rng, (self.classes,))
            runs = np.stack([self.run_counts(scenes, skill, rng) for _ in range(seeds)])
            models.append(Entrant(f"model{m}", tuple(range(seeds)), runs))
        return models

    @cache  # noqa: B019 - a handful of frozen worlds per session
    def truth(self, skill: float = 0.0, runs: int = 80) -> float:
        """The mIoU of the average run on infinitely many frames (by simulation)."""
        many = replace(self, groups=200)
        rng = np.random.default_rng(12345)
        scores = []
        for _ in range(runs):
            (model,) = many.study(rng, seeds=1, skills=(skill,))
            scores.append(scores_of(model.counts[0].sum(axis=0))[-1])
        return float(np.mean(scores))

    def _drift(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Unit-variance AR(1) noise within each group: `[N, *shape]`."""
        step = rng.standard_normal((self.groups, self.frames, *shape))
        step[:, 1:] *= np.sqrt(1 - self.memory**2)
        for t in range(1, self.frames):
            step[:, t] += self.memory * step[:, t - 1]
        return step.reshape(self.groups * self.frames, *shape)
