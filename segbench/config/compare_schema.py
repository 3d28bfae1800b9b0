"""The typed top level of `conf/compare.yaml` and `conf/paper.yaml`; see `schema`."""

from __future__ import annotations

from dataclasses import dataclass, field

from segbench.config.fields import choice, path, within


@dataclass
class CompareConfig:
    """All top-level keys of `python -m segbench.compare`."""

    # Which runs: RUNS/STUDY/*/seed*, all of them or only those with these names (MODEL-DATA)
    study: str | None = None
    studies: list[str] = field(default_factory=list)  # instead of study: several data sets
    runs: str = path("runs")
    only: list[str] = field(default_factory=list)
    # The score that is tested, see comparison.measures; any of which more is better
    metric: str = "mIoU"
    metrics: list[str] = field(default_factory=list)  # further ones, corrected together
    # null: the runner-up
    baseline: str | None = None
    # a loss of so many points does not matter; null: as the study file says (compare.margin)
    margin: float | None = within(None, 0.01, 100)

    # Statistics. What is resampled; auto: groups if there are ten or more, else blocks of frames
    unit: str = choice("auto", "image", "block", "group")
    # images per block; null: chosen from the autocorrelation between images
    block_length: int | None = within(None, 1)
    replicates: int = within(10_000, 100)
    confidence: float = within(0.95, 0.5, 0.9999)

    # Audit: fields that the study varies on purpose; strict: fail on anything above a note
    varies: list[str] = field(default_factory=list)
    strict: bool = False

    gallery: int = within(4, 0)
    wandb: bool = True


@dataclass
class PaperConfig:
    """All top-level keys of `python -m segbench.paper`; the first ones are those of compare."""

    study: str | None = None
    studies: list[str] = field(default_factory=list)  # instead of study: several data sets
    tuning: list[str] = field(default_factory=list)  # the studies that tuned the values
    runs: str = path("runs")
    only: list[str] = field(default_factory=list)
    metric: str = "mIoU"
    metrics: list[str] = field(default_factory=list)
    baseline: str | None = None
    margin: float | None = within(None, 0.01, 100)
    replicates: int = within(10_000, 100)
    document_class: str = choice("article", "llncs")
