"""The real-time models are the published ones: names, shapes, outputs of mmsegmentation 1.2.2.

`official/NAME.txt` lists the parameters of mmsegmentation's model of each config, as in its
checkpoints, one module per line with ranges of numbers folded. `official/logits.json` was recorded
once from the same models in evaluation mode and float64 (auxiliary heads as in training, except for
the norms), with the weights of `weight` and the image of `waves`, padded as ours pad it. Their
logits were upsampled to the padded image according to their configs, and cropped. SegNeXt's random
bases were replaced by the fixed ones that ours predicts with. `NAME_authors` is the same for the
authors' models, for PIDNet with a ReLU that is not in place: theirs changes the input of the
auxiliary heads.
"""

from __future__ import annotations

import importlib
import itertools
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from segbench.cost.profiling import count_macs
from segbench.models.ddrnet import Residual
from segbench.models.pidnet import PIDNet
from segbench.models.weights import load_weights

CONF = Path(__file__).parents[2] / "conf" / "model"
OFFICIAL = Path(__file__).parent / "official"
SIZES = ((128, 192), (131, 197))
# Class, row, column of the recorded logits.
PLACES = ((0, 0, 0), (3, 64, 96), (7, 127, 11), (11, 30, 180), (18, 100, 100))
REFERENCE = json.loads((OFFICIAL / "logits.json").read_text())
MODELS = [name for name in REFERENCE if not name.endswith("_authors")]
# Large models; they add nothing to the checks of their smaller siblings but size.
SLOW = ("pidnet_m", "ddrnet23", "segnext_s", "segnext_b")
# Millions of parameters without auxiliary heads, from the papers; PIDNet-M, from the authors' code,
# because the paper counts another variant (see below).
PUBLISHED = {
    "pidnet_s": 7.6,
    "pidnet_m": 28.5,
    "ddrnet23_slim": 5.7,
    "ddrnet23": 20.1,
    "segnext_t": 4.3,
    "segnext_s": 13.9,
    "segnext_b": 27.6,
}
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
LEAVES = {
    "conv": ("weight",),
    "conv+bias": ("weight", "bias"),
    "affine": ("weight", "bias"),
    "batchnorm": BATCH_NORM,
    "param": ("",),
}


def build(name: str, num_classes: int) -> nn.Module:
    config = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    module, _, attribute = config.pop("_target_").rpartition(".")
    return getattr(importlib.import_module(module), attribute)(num_classes=num_classes, **config)


def expand(name: str) -> Iterator[str]:
    """`a[0-1].b[2-3]` -> a0.b2, a0.b3, a1.b2, a1.b3."""
    parts = re.split(r"\[(\d+)-(\d+)\]", name)
    ranges = [range(int(a), int(b) + 1) for a, b in zip(parts[1::3], parts[2::3], strict=True)]
    for numbers in itertools.product(*ranges):
        digits = [*map(str, numbers), ""]
        yield "".join(a + b for a, b in zip(parts[::3], digits, strict=True))


def official_shapes(name: str) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for line in (OFFICIAL / f"{name}.txt").read_text().splitlines():
        modules, kind, size = line.split()
        shape = tuple(map(int, size.split("x")))
        for module, leaf in itertools.product(expand(modules), LEAVES[kind]):
            of_leaf = {"weight": shape, "": shape, "num_batches_tracked": ()}.get(leaf, shape[:1])
            shapes[f"{module}.{leaf}".removesuffix(".")] = of_leaf
    return shapes


def classes_of(shapes: dict[str, tuple[int, ...]]) -> int:
    name = "decode_head.conv_seg.bias"
    return shapes[name if name in shapes else "final_layer.conv2.bias"][0]


def weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """Values of a parameter, computed from its name, that keep activations in range."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    draw = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_var"):
        draw = 1 + 0.2 * np.abs(draw)
    elif key.endswith(("running_mean", "bias")) or "layer_scale" in key:
        draw = 0.1 * draw
    elif len(shape) == 1:
        draw = 1 + 0.1 * draw
    else:
        draw = draw * np.sqrt(1.5 / np.prod(shape[1:]))
    return torch.from_numpy(draw.astype(np.float32))


def waves(height: int, width: int) -> Tensor:
    """Waves, [1, 3, H, W] in float64."""
    y, x = torch.arange(height, dtype=torch.float64)[:, None], torch.arange(width).double()
    channels = [
        torch.sin(0.07 * k * y + 0.11 * x) + torch.cos(0.013 * x * k + 0.05 * y) for k in (1, 2, 3)
    ]
    return torch.stack(channels)[None]


def official_model(name: str, folder: Path) -> nn.Module:
    """The model in evaluation mode, filled from a checkpoint with the official names."""
    shapes = official_shapes(name)
    state = {key: weight(key, shape) for key, shape in shapes.items()}
    torch.save({"state_dict": state, "meta": {"epoch": 1}}, folder / "official.pth")
    model = build(name.removesuffix("_authors"), classes_of(shapes)).double().eval()
    report = load_weights(model, str(folder / "official.pth"))
    assert not report.missing
    assert not report.reinitialized
    assert not report.unexpected
    in_front_of_norms = [key for key in shapes if key in ("conv1.0.bias", "conv1.3.bias")]
    assert report.loaded == len(model.state_dict()) == len(shapes) - len(in_front_of_norms)
    return model


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in REFERENCE],
)
def test_official_checkpoint_gives_the_official_logits(name: str, tmp_path: Path) -> None:
    model = official_model(name, tmp_path)
    for size in SIZES:
        expected = REFERENCE[name]["{}x{}".format(*size)]
        with torch.inference_mode():
            logits = model(waves(*size))
        assert logits.shape[2:] == size
        close([logits[0][place] for place in PLACES], expected["logits"])
        close([logits.mean(), logits.std()], expected["mean_std"])
        if not expected["aux"]:
            continue
        with torch.inference_mode():
            again, auxiliary = model.forward_with_aux(waves(*size))
        assert torch.equal(again, logits)
        for aux, values in zip(auxiliary, expected["aux"], strict=True):
            close([aux[0, 0, 64, 96], aux.mean(), aux.std()], values)


def close(found: list[Tensor], expected: list[float]) -> None:
    expected_ = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(torch.stack(found), expected_, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_as_many_parameters_as_the_official_model(name: str) -> None:
    shapes = official_shapes(name)
    trained = [key for key in shapes if not key.endswith(BATCH_NORM[2:])]
    model = build(name, classes_of(shapes))
    found = sum(p.numel() for p in model.parameters())
    assert found == sum(int(np.prod(shapes[key])) for key in trained)
    if name in PUBLISHED:
        auxiliary = getattr(model, "aux_head", None) or nn.Identity()
        found -= sum(p.numel() for p in auxiliary.parameters())
        assert round(found / 1e6, 1) == PUBLISHED[name]


def test_the_paper_counts_another_pidnet_m() -> None:
    """Its 34.4 M parameters are those of four blocks in each context stage; three were published.

    So are its 197.4 billion MACs at 1024x2048, within the differences of counting: the two further
    blocks run at 1/16 and 1/32.
    """
    with torch.device("meta"):
        model = PIDNet(num_classes=19, width=64, aux_weight=0)
        further = [Residual(channels, channels) for channels in (256, 512)]
    sizes = [sum(p.numel() for p in module.parameters()) for module in (model, *further)]
    assert round(sizes[0] / 1e6, 1) == 28.5
    assert round(sum(sizes) / 1e6, 1) == 34.4
    macs = count_macs(model, (1024, 2048))
    more = sum(
        2 * 9 * channels**2 * (1024 // stride) * (2048 // stride)
        for channels, stride in ((256, 16), (512, 32))
    )
    assert macs < 0.9 * 197.4e9
    assert macs + more == pytest.approx(197.4e9, rel=0.01)


@pytest.mark.parametrize("name", MODELS)
def test_own_names_are_unchanged(name: str) -> None:
    model = build(name, 5)
    assert [model.translate_key(key) for key in model.state_dict()] == list(model.state_dict())
