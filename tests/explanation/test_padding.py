"""Explanations of a model that pads its images are at the right positions of the image."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.data.bands import Bands
from segbench.data.classes import ClassSet
from segbench.explanation.embedding_report import embed_images
from segbench.explanation.embeddings import pad_mask
from segbench.explanation.features import heat_map, run_with_features
from segbench.explanation.heat_sheets import explain_image
from segbench.models.blocks import pad_to_stride, resize

CLASSES = ClassSet(("red", "green", "blue"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)))


class Colors(nn.Module):
    """Three classes, one per color; its features are the colors of each 4x4 pixels."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.features = nn.AvgPool2d(4)
        self.head = nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        padded = pad_to_stride(image, self.stride)
        logits = resize(self.head(self.features(padded)), like=padded)
        return logits[..., : image.shape[-2], : image.shape[-1]]


class Wrapped(nn.Module):
    """A model inside another one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image)


def segmenter(model: nn.Module, seen: tuple[int, int]) -> Any:
    """The parts of a `Segmenter` that `explain` uses; the model gets all images at one size."""
    return SimpleNamespace(
        predictor=SimpleNamespace(model=model.eval(), normalize=lambda pixels: pixels / 255),
        seen_size=lambda size: seen, device=torch.device("cpu"), classes=CLASSES,
        bands=Bands(), ckpt=Path("none"),
    )  # fmt: skip


@pytest.mark.parametrize("stride", [4, 32])  # 4: nothing is padded
@pytest.mark.parametrize("spot", [(40, 8), (0, 60), (40, 64)])
def test_a_spot_is_highlighted_at_its_position(spot: tuple[int, int], stride: int) -> None:
    image = torch.zeros(1, 3, 48, 72)
    image[0, 1, spot[0] : spot[0] + 4, spot[1] : spot[1] + 4] = 1
    heat = heat_map(Colors(stride), image, label=1, layer="features")
    assert heat.shape == (48, 72)
    for lit, start in zip(torch.nonzero(heat > 0.7).T, spot, strict=True):
        assert start <= lit.min() <= lit.max() < start + 4


def test_a_spot_in_a_downscaled_image_is_highlighted_at_its_position() -> None:
    image = np.zeros((96, 144, 3), np.uint8)
    image[80:88, 16:24, 1] = 255
    options = {"labels": [1], "layer": "head.input", "pixel": None, "region": None}
    found = explain_image(segmenter(Colors(32), (48, 72)), image, None, method="hirescam",
                          **options)  # type: ignore[arg-type]  # fmt: skip
    peak = np.unravel_index(found.heat["green"].argmax(), (96, 144))
    assert 80 <= peak[0] < 88
    assert 16 <= peak[1] < 24


def test_features_that_are_the_truth_have_purity_one() -> None:
    """Squares of random classes, one cell each; the model gets them at half the size."""
    squares = np.random.default_rng(0).integers(0, 3, (10, 12), np.uint8)
    mask = squares.repeat(8, 0).repeat(8, 1)
    image = np.array(CLASSES.colors, np.uint8)[mask]
    found = embed_images(
        segmenter(Colors(32), (40, 48)), [("squares", image, mask)], "head.input", "pca",
        per_class=99, least=10, neighbors=5, seed=0,
    )  # fmt: skip
    assert all(score["purity"] == 1 for score in found.scores.values())
    cells = found.cells
    assert len(cells.labels) == squares.size  # none of the padding
    np.testing.assert_array_equal(cells.features.argmax(1), cells.labels)
    np.testing.assert_array_equal(mask[cells.places[:, 0], cells.places[:, 1]], cells.labels)


@pytest.mark.parametrize(
    ("model", "extent"),
    [
        (Colors(32), (96, 64)),  # at least twice the stride
        (Wrapped(Colors(32)), (96, 64)),
        (Colors(4), (72, 20)),
        (nn.Sequential(nn.AvgPool2d(2), nn.AvgPool2d(2)), (70, 20)),
    ],
)
def test_features_cover_the_padded_image(model: nn.Module, extent: tuple[int, int]) -> None:
    layer = [name for name, module in model.named_modules() if isinstance(module, nn.AvgPool2d)][-1]
    image = torch.rand(2, 3, 70, 20)
    found = run_with_features(model, image, layer)
    assert found.extent == extent
    whole = F.pad(image, (0, extent[1] - 20, 0, extent[0] - 70), mode="replicate")
    torch.testing.assert_close(found.features, F.avg_pool2d(whole, 4))


def test_a_mask_is_padded_in_its_own_pixels() -> None:
    mask = np.ones((1000, 90), np.uint8)
    padded = pad_mask(mask, (360, 45), (384, 64), void=9)
    assert padded.shape == (1067, 128)
    assert (padded[:1000, :90] == 1).all()
    assert (padded[1000:] == 9).all()
    assert (padded[:, 90:] == 9).all()
    assert pad_mask(mask, (360, 45), (360, 45), void=9).shape == mask.shape
