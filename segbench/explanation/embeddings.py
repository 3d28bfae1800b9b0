"""How well a model's features separate the classes: sampled, projected, scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Projection = Literal["tsne", "pca", "umap"]


@dataclass(frozen=True)
class Cells:
    """Features at single positions of images.

    Args:
        features: float32 `[K, D]`.
        labels: uint8 `[K]`, classes.
        images: int `[K]`, which image.
        places: int `[K, 2]`, y and x of the cell's center, in pixels of the mask.
    """

    features: np.ndarray
    labels: np.ndarray
    images: np.ndarray
    places: np.ndarray


def pad_mask(
    mask: np.ndarray, seen: tuple[int, int], extent: tuple[int, int], void: int
) -> np.ndarray:
    """Pads a mask at the bottom and on the right, to the extent of the features.

    Args:
        mask: uint8 `[H, W]`, of any resolution.
        seen: `(h, w)` of the image as the model got it.
        extent: `(h', w')` covered by the features, in the same pixels as `seen`.
        void: the label of the padding, `ignore_index`.

    Returns:
        uint8 `[H', W']` with `H' / H = h' / h` and `W' / W = w' / w`, rounded.
    """
    after = [
        round(length * (to - of) / of)
        for length, of, to in zip(mask.shape, seen, extent, strict=True)
    ]
    return np.pad(mask, ((0, after[0]), (0, after[1])), constant_values=void)


def pure_cells(mask: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The label of every cell of a grid over a mask, and whether the cell has only this label.

    Args:
        mask: uint8 `[H, W]`.
        size: `(h, w)` of the grid, that of the feature map.

    Returns:
        uint8 `[h, w]`, the label of a pixel of the cell; bool `[h, w]`.
    """
    lowest, highest = mask, mask
    for axis in (0, 1):
        count, length = size[axis], mask.shape[axis]
        starts = np.minimum(np.arange(count) * length // count, length - 1)
        lowest = np.minimum.reduceat(lowest, starts, axis)
        highest = np.maximum.reduceat(highest, starts, axis)
    return lowest, lowest == highest


def sample_cells(
    maps: Iterable[tuple[np.ndarray, np.ndarray]],
    num_classes: int,
    per_class: int,
    seed: int,
) -> Cells:
    """Draws the same number of cells for each class, without cells of mixed labels.

    Args:
        maps: for each image its features float `[D, h, w]` and its mask uint8 `[H, W]`.
        num_classes: labels from this value on are left out.
        per_class: number of cells per class; all of them if the class has fewer.
        seed: seed of the draw.
    """
    rng = np.random.default_rng(seed)
    kept: dict[int, list[tuple[np.ndarray, int, tuple[int, int]]]] = {}
    for image, (features, mask) in enumerate(maps):
        size = (features.shape[1], features.shape[2])
        labels, pure = pure_cells(mask, size)
        for label in np.unique(labels[pure]):
            if label >= num_classes:
                continue
            rows, columns = np.nonzero(pure & (labels == label))
            # At most per_class per image, so that memory does not grow with the resolution.
            chosen = rng.permutation(len(rows))[:per_class]
            for y, x in zip(rows[chosen], columns[chosen], strict=True):
                place = ((2 * y + 1) * mask.shape[0] // (2 * size[0]),
                         (2 * x + 1) * mask.shape[1] // (2 * size[1]))  # fmt: skip
                kept.setdefault(int(label), []).append((features[:, y, x], image, place))
    drawn = [
        (cells[i], label)
        for label, cells in sorted(kept.items())
        for i in rng.permutation(len(cells))[:per_class]
    ]
    if not drawn:
        return Cells(np.zeros((0, 1), np.float32), *(np.zeros((0,), int),) * 2, np.zeros((0, 2)))
    return Cells(
        np.stack([cell[0] for cell, _ in drawn]).astype(np.float32),
        np.array([label for _, label in drawn], np.uint8),
        np.array([cell[1] for cell, _ in drawn]),
        np.array([cell[2] for cell, _ in drawn]),
    )


def without_rare(cells: Cells, names: Sequence[str], least: int) -> tuple[Cells, dict[str, int]]:
    """Leaves out classes with fewer than `least` cells.

    Returns:
        The remaining cells, and the number of cells of the classes left out.

    Raises:
        ValueError: fewer than two classes are left.
    """
    counts = np.bincount(cells.labels.astype(int), minlength=len(names))
    enough = np.flatnonzero(counts >= least)
    few = {names[i]: int(counts[i]) for i in range(len(names)) if 0 < counts[i] < least}
    if len(enough) < 2:
        found = ", ".join(f"{name} {count}" for name, count in few.items()) or "none"
        raise ValueError(
            f"too few feature cells with a single class: at least two classes need {least} each, "
            f"found {found}; use more images (images=), another split, or a layer of higher "
            "resolution (layer=)"
        )
    keep = np.isin(cells.labels, enough)
    kept = (cells.features[keep], cells.labels[keep], cells.images[keep], cells.places[keep])
    return Cells(*kept), few


def project(features: np.ndarray, how: Projection, seed: int, perplexity: float = 30) -> np.ndarray:
    """Projects features `[K, D]` to the plane, float32 `[K, 2]`.

    Standardizes, reduces to 50 principal components, then applies t-SNE (van der Maaten and Hinton
    2008) or UMAP (needs the package umap-learn), or just keeps the first two components.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    scaled = standardized(features)
    components = min(50, *scaled.shape)
    reduced = PCA(components, random_state=seed).fit_transform(scaled)
    if how == "pca":
        return _plane(reduced)
    if how == "umap":
        try:
            from umap import UMAP
        except ImportError:
            raise ValueError("projection=umap: needs umap-learn; pip install umap-learn") from None
        return UMAP(random_state=seed).fit_transform(reduced).astype(np.float32)
    perplexity = min(perplexity, (len(reduced) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca" if components > 1 else "random",
                random_state=seed)  # fmt: skip
    return tsne.fit_transform(reduced).astype(np.float32)


def _plane(reduced: np.ndarray) -> np.ndarray:
    missing = max(0, 2 - reduced.shape[1])
    return np.pad(reduced, ((0, 0), (0, missing)))[:, :2].astype(np.float32)


def standardized(features: np.ndarray) -> np.ndarray:
    """Each channel with mean 0 and standard deviation 1; constant ones become 0."""
    deviation = features.std(0)
    return (features - features.mean(0)) / np.where(deviation > 0, deviation, 1)


def separation(
    features: np.ndarray, labels: np.ndarray, neighbors: int = 10
) -> dict[int, dict[str, float]]:
    """How well classes are separated, class by class.

    Args:
        features: float `[K, D]`; standardized here.
        labels: `[K]`, at least two classes.
        neighbors: number of neighbors for the purity.

    Returns:
        For each class: `purity`, the mean share of its points' nearest neighbors that are of the
        same class, and `silhouette` (Rousseeuw 1987), -1..1.
    """
    from sklearn.metrics import silhouette_samples
    from sklearn.neighbors import NearestNeighbors

    scaled = standardized(features)
    count = min(neighbors, len(scaled) - 1)
    near = NearestNeighbors(n_neighbors=count + 1).fit(scaled).kneighbors(scaled)[1][:, 1:]
    purity = (labels[near] == labels[:, None]).mean(1)
    silhouette = silhouette_samples(scaled, labels)
    return {
        int(label): {
            "purity": float(purity[labels == label].mean()),
            "silhouette": float(silhouette[labels == label].mean()),
        }
        for label in np.unique(labels)
    }
