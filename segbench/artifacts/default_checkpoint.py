"""The checkpoint that ships with segbench, which is used if none is given."""

from __future__ import annotations

from pathlib import Path

from segbench.errors import ConfigError

ASSETS = Path(__file__).resolve().parents[1] / "assets"
SHIPPED = "shipped"  # its name in the keys `ckpt` and `weights`


def default_checkpoint() -> Path:
    """Path of the checkpoint that is shipped with segbench.

    Raises:
        ConfigError: this copy has none.
    """
    found = sorted(ASSETS.glob("*.ckpt"))
    if not found:
        raise ConfigError(
            "ckpt: is not set, and this copy of segbench comes without a checkpoint; set "
            "ckpt=PATH (runs/STUDY/NAME/seedN/checkpoints/best.ckpt)"
        )
    return found[0]


def about_default(classes: int) -> str:
    """A note that no checkpoint was given, and which one is used."""
    file = default_checkpoint()
    return (
        f"note: ckpt is not set, so the shipped checkpoint is used: {file.stem}, {classes} "
        f"classes; data, scores and limits: {file.with_suffix('.md')}"
    )
