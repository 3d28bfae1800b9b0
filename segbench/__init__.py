"""segbench: a fair referee for semantic segmentation models."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segbench.api.calls import compare, evaluate, train
    from segbench.artifacts.segmenter import Segmenter

__version__ = "0.1.0"
__all__ = ["compare", "evaluate", "load", "train"]


def load(ckpt: Path | str | None = None, device: str = "auto") -> Segmenter:
    """Loads a checkpoint for prediction; nothing else is needed, and nothing is downloaded.

    Args:
        ckpt: a file written by `python -m segbench.train`; None for the shipped checkpoint.
        device: `auto`, `cpu`, `cuda`, ...

    Returns:
        `load(...).predict("photo.jpg")` gives `labels`, `probs` and `classes`; for more options
        build a `segbench.artifacts.segmenter.Segmenter`.
    """
    from segbench.artifacts.segmenter import Segmenter  # torch takes seconds to import

    return Segmenter(ckpt, device=device)


def __getattr__(name: str) -> Any:
    """A callable command, imported on first access; see `segbench.api.calls`."""
    if name in ("train", "evaluate", "compare"):
        return import_module(f"segbench.{name}")
    raise AttributeError(f"module 'segbench' has no attribute '{name}'")
