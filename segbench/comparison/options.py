"""The options of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, fields

from segbench.comparison.resampling import Unit


@dataclass(frozen=True)
class Options:
    """Options of a comparison.

    Args:
        metric: the score that is tested: `mIoU` or `mDice`; the other one is shown beside it.
        metrics: further ones, whose p values are corrected together.
        baseline: label the others are measured against; None = that of the margin, else the
            runner-up.
        margin: the largest loss against the baseline that does not matter, in points; None = as
            the runs say, see `margin_report.margin_of`.
        unit: what is resampled: auto, image, block or group.
        block_length: images per block; None = chosen from the data.
        replicates: number of resampled image sets.
        confidence: confidence level of intervals, 0..1; tests use the level 1 - confidence.
        varies: audited fields that differ on purpose.
        gallery: number of images shown where the leader is better, and where it is worse.
    """

    metric: str = "mIoU"
    metrics: tuple[str, ...] = ()
    baseline: str | None = None
    margin: float | None = None
    unit: Unit = "auto"
    block_length: int | None = None
    replicates: int = 10_000
    confidence: float = 0.95
    varies: tuple[str, ...] = ()
    gallery: int = 4

    def words(self) -> list[str]:
        """The options that differ from the default, as the command line takes them."""
        keys = (field.name for field in fields(self) if field.name != "gallery")
        return [
            f"{key}=[{','.join(value)}]" if isinstance(value, tuple) else f"{key}={value}"
            for key in keys
            if (value := getattr(self, key)) != getattr(Options(), key)
        ]
