"""Writes predictions: id maps, color maps, overlays, side by side, probability maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segbench.data.classes import ClassSet
from segbench.inference.overlay import overlay, side_by_side, with_legend
from segbench.system.storage import file_names, write_png

RENDERED = ("color", "overlay", "side_by_side")
KINDS = ("ids", *RENDERED, "probs")
FOLDERS = (*KINDS, "volumes")  # in the output folder
RECORD = "predictions.json"  # the file there that names the checkpoint, see artifacts.origin
_LEVEL = 1  # PNG compression; nearly as small as the default and 3 times as fast


class Outputs:
    """Writes `FOLDER/KIND/NAME.png` for every requested kind.

    Args:
        folder: the output folder.
        classes: names and colors of the labels.
        kinds: some of `KINDS`. `ids`: gray PNG of class ids, 255 where no class is shown; `probs`:
            one gray PNG per class, 255 = probability 1.
        shown: ids of the classes to show; None shows all.
        alpha: opacity of the colors in overlays, 0..1.
        legend: add the class names below overlays and pairs.
    """

    def __init__(
        self,
        folder: Path,
        classes: ClassSet,
        kinds: Sequence[str],
        shown: Sequence[int] | None = None,
        alpha: float = 0.5,
        legend: bool = True,
    ) -> None:
        self.folder, self.classes, self.kinds = folder, classes, list(kinds)
        self.shown = list(range(classes.num_classes)) if shown is None else list(shown)
        self.alpha, self.legend = alpha, legend
        self.table = np.full(256, 255, np.uint8)
        self.table[self.shown] = self.shown
        self._files = file_names(classes.names)

    def write(
        self, name: str, image: np.ndarray, labels: np.ndarray, probs: np.ndarray | None
    ) -> None:
        """Writes all kinds for one image.

        Args:
            name: file name without extension; may contain folders.
            image: uint8 `[H, W, 3]`.
            labels: uint8 `[H, W]`.
            probs: float32 `[C, H, W]`; needed for the kind `probs`.
        """
        for kind in self.kinds:
            if kind == "ids":
                write_png(self.folder / kind / f"{name}.png", self.table[labels], _LEVEL)
            elif kind == "probs":
                assert probs is not None
                for label in self.shown:
                    gray = np.round(probs[label] * 255).astype(np.uint8)
                    file = self.folder / kind / name / f"{self._files[label]}.png"
                    write_png(file, gray, _LEVEL)
            else:
                rendered = self.render(kind, image, labels)
                write_png(self.folder / kind / f"{name}.png", rendered, _LEVEL)

    def render(
        self, kind: str, image: np.ndarray, labels: np.ndarray, all_names: bool = False
    ) -> np.ndarray:
        """Renders one of `RENDERED`, uint8 RGB.

        Args:
            kind: one of `RENDERED`; `color` has the size of the image.
            image: uint8 `[H, W, 3]`.
            labels: uint8 `[H, W]`.
            all_names: list all classes shown in the legend, not only those in this image, so that
                all frames of a video have the same size.
        """
        labels = self.table[labels]
        if kind == "color":
            return self.classes.decode(labels)
        tinted = overlay(image, labels, self.classes, self.alpha)
        rendered = tinted if kind == "overlay" else side_by_side([image, tinted])
        if not self.legend:
            return rendered
        present = set(np.unique(labels).tolist())
        named = [label for label in self.shown if all_names or label in present]
        return with_legend(rendered, self.classes, named)
