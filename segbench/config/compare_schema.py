"""The typed top level of `conf/compare.yaml` and `conf/paper.yaml`; see `schema`."""

from __future__ import annotations

from dataclasses import dataclass, field

from segbench.config.fields import choice, path, within


@dataclass
class CompareConfig:
    """All top-level keys of `python -m segbench.compare`."""

    # Which runs: RUNS/STUDY/*/seed*, all of them or only these (MODEL or MODEL-DATA)
    study: str | None = None  # name of a folder below `runs`
    studies: list[str] = field(default_factory=list)  # instead of study: several data sets
    runs: str = path("runs")  # folder of the studies
    only: list[str] = field(default_factory=list)  # compare these names; empty: all
    # the score that is tested; any of which more is better
    metric: str = "mIoU"
    metrics: list[str] = field(default_factory=list)  # further ones, corrected together
    # the model to compare with; null: the runner-up
    baseline: str | None = None
    # a loss of so many points does not matter; null: as the study file says (compare.margin)
    margin: float | None = within(None, 0.01, 100)

    # what is resampled; auto: groups if there are ten or more, else blocks of frames
    unit: str = choice("auto", "image", "block", "group")
    # images per block; null: chosen from the autocorrelation between images
    block_length: int | None = within(None, 1)
    replicates: int = within(10_000, 100)  # number of resampled image sets
    confidence: float = within(0.95, 0.5, 0.9999)  # of the intervals

    varies: list[str] = field(default_factory=list)  # what the study varies on purpose
    strict: bool = False  # exit with 1 if anything weakens or invalidates the comparison

    gallery: int = within(4, 0)  # number of images shown that decide the comparison
    wandb: bool = True  # log tables, figures and verdict to W&B


@dataclass
class PaperConfig:
    """All top-level keys of `python -m segbench.paper`; the first ones are those of compare."""

    study: str | None = None  # name of a folder below `runs`
    studies: list[str] = field(default_factory=list)  # instead of study: several data sets
    tuning: list[str] = field(default_factory=list)  # the studies that tuned the values
    runs: str = path("runs")  # folder of the studies
    only: list[str] = field(default_factory=list)  # compare these names; empty: all
    metric: str = "mIoU"  # the score that is tested
    metrics: list[str] = field(default_factory=list)  # further ones, corrected together
    baseline: str | None = None  # the model to compare with; null: the runner-up
    # a loss of so many points does not matter; null: as the study file says (compare.margin)
    margin: float | None = within(None, 0.01, 100)
    replicates: int = within(10_000, 100)  # number of resampled image sets
    document_class: str = choice("article", "llncs")  # LaTeX class; llncs: Springer's
