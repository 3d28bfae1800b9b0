"""Masks from outlines: COCO instances (one file for many images), labelme (one file per image).

Both are rasterized by pycocotools, as in `COCO.annToMask`. If objects overlap, the later one in the
file is on top. Pixels without an object are the class `background`, or ignored if there is no such
class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from segbench.data.extras import needed
from segbench.errors import DataError

KINDS = ("coco", "labelme")
BACKGROUND, IGNORE = "background", 255
Shapes = list[tuple[str, Callable[[tuple[int, int]], np.ndarray]]]
_CIRCLE = 90  # corners of the polygon for a circle


class Outlines:
    """Reads class ids from the annotations of images.

    Args:
        kind: `coco` or `labelme`.
        names: the class names of the annotations, optionally with `background`.
    """

    def __init__(self, kind: str, names: Sequence[str]) -> None:
        self.kind = kind
        self.names = list(names)
        self._files: dict[Path, _Coco] = {}

    def names_in(self, path: Path) -> list[str]:
        """The images that a COCO file describes, as paths without extension."""
        return [str(PurePosixPath(name).with_suffix("")) for name in self._coco(path).sizes]

    def read(self, path: Path, image: Path, size: tuple[int, int]) -> np.ndarray:
        """Class ids of one image, uint8 `[H, W]`.

        Args:
            path: the annotations.
            image: the image file.
            size: its `(H, W)`.

        Raises:
            DataError: the file is damaged, has an unknown class, or states another image size.
        """
        read = self._labelme(path) if self.kind == "labelme" else self._coco(path).of(image)
        stated, shapes = read
        if stated != size:
            raise DataError(
                f"{path}: says that {image.name} is {stated[1]}x{stated[0]}, but the file is "
                f"{size[1]}x{size[0]}. Annotate the image at its own size.",
                "size",
            )
        ground = self.names.index(BACKGROUND) if BACKGROUND in self.names else IGNORE
        mask = np.full(size, ground, np.uint8)
        for name, fill in shapes:
            if name not in self.names:
                raise DataError(
                    f"{path}: the class '{name}' is not in data.classes; add it there, or remove "
                    "its annotations.",
                    "label",
                )
            mask[fill(size) > 0] = self.names.index(name)
        return mask

    def _coco(self, path: Path) -> _Coco:
        if path not in self._files:
            self._files[path] = _Coco(path)
        return self._files[path]

    def _labelme(self, path: Path) -> tuple[tuple[int, int], Shapes]:
        content = _json(path)
        try:
            size = (int(content["imageHeight"]), int(content["imageWidth"]))
            shapes = [(str(s["label"]), _shape(s, path)) for s in content["shapes"]]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: is not a labelme file ({error!r}).", "unreadable") from None
        return size, shapes


class _Coco:
    """One COCO file."""

    def __init__(self, path: Path) -> None:
        content = _json(path)
        try:
            self.categories = {int(c["id"]): str(c["name"]) for c in content["categories"]}
            self.sizes = {
                str(i["file_name"]): (int(i["id"]), int(i["height"]), int(i["width"]))
                for i in content["images"]
            }
            self.objects: dict[int, list[dict[str, Any]]] = {}
            for one in content["annotations"]:
                self.objects.setdefault(int(one["image_id"]), []).append(one)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: is not a COCO instances file ({error!r}); expected images, annotations "
                "and categories.",
                "unreadable",
            ) from None
        self.path = path

    @cached_property
    def _by_tail(self) -> dict[str, list[str]]:
        tails: dict[str, list[str]] = {}
        for name in self.sizes:
            tails.setdefault(PurePosixPath(name).name, []).append(name)
        return tails

    def of(self, image: Path) -> tuple[tuple[int, int], Shapes]:
        """Size of an image, and class and filling of each of its objects."""
        same = self._by_tail.get(image.name, [])
        posix = image.as_posix()
        found = [n for n in same if posix.endswith(f"/{n}")] if len(same) > 1 else same
        if len(found) != 1:
            raise DataError(
                f"{self.path}: lists {image.name} {len(found)} times; expected once.", "label"
            )
        number, height, width = self.sizes[found[0]]
        return (height, width), [
            (self._name(one), _segmentation(one.get("segmentation"), self.path))
            for one in self.objects.get(number, [])
        ]

    def _name(self, one: dict[str, Any]) -> str:
        number = one.get("category_id")
        if number not in self.categories:
            raise DataError(f"{self.path}: an object has the unknown category {number}.", "label")
        return self.categories[number]


def _segmentation(shape: Any, path: Path) -> Callable[[tuple[int, int]], np.ndarray]:
    """Rasterizes as `COCO.annToMask`: polygons are merged, run lengths are decoded."""

    def fill(size: tuple[int, int]) -> np.ndarray:
        masks = needed("pycocotools.mask", "coco", "a mask from annotations")
        try:
            if isinstance(shape, list):
                packed = masks.merge(masks.frPyObjects(shape, *size)) if shape else None
            elif isinstance(shape["counts"], list):
                packed = masks.frPyObjects(shape, *size)
            else:
                packed = shape
            found = np.zeros(size, np.uint8) if packed is None else masks.decode(packed)
        except Exception as error:  # Cython raises various types
            raise DataError(f"{path}: an outline that cannot be filled ({error}).") from None
        if found.shape != size:
            raise DataError(f"{path}: run lengths do not match the size of the image.", "size")
        return found

    return fill


def _shape(shape: dict[str, Any], path: Path) -> Callable[[tuple[int, int]], np.ndarray]:
    """A labelme shape as a polygon."""
    kind = shape.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    elif kind == "circle":
        (x, y), (on_x, on_y) = points
        radius = float(np.hypot(on_x - x, on_y - y))
        turns = np.linspace(0, 2 * np.pi, _CIRCLE, endpoint=False)
        points = [(x + radius * np.cos(t), y + radius * np.sin(t)) for t in turns]
    elif kind != "polygon":
        raise DataError(
            f"{path}: a shape of type {kind}, which has no area; supported are polygon, rectangle "
            "and circle.",
            "label",
        )
    if len(points) < 3:
        raise DataError(f"{path}: a polygon of {len(points)} points; expected three.", "label")
    return _segmentation([[v for point in points for v in point]], path)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).", "unreadable") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error}).", "unreadable") from None
