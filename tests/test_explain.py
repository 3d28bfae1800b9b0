"""`python -m segbench.explain`: heat maps, embeddings and drawings from one command each."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from segbench.config.compose import compose_checked, register
from segbench.errors import ConfigError, NonFiniteLogitsError
from segbench.explain import _readable, explain


def config(*overrides: str) -> Any:
    register()
    composed = compose_checked("explain", list(overrides))
    return OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])


def test_heat_maps_of_test_images(ckpt: Path, tmp_path: Path) -> None:
    options = ("images=2", "classes=[Road,Sky]", "device=cpu")
    explain(config(f"ckpt={ckpt}", f"output={tmp_path}", *options))
    sheets, arrays = sorted(tmp_path.glob("*.png")), sorted(tmp_path.glob("*.npz"))
    assert [file.stem for file in sheets] == [file.stem for file in arrays]
    assert len(sheets) == 2
    found = np.load(arrays[0])
    names = {"labels", "uncertainty", "heat/Road", "heat/Sky", "probs/Road", "probs/Sky"}
    assert set(found) == names
    for name in names - {"labels"}:
        assert found[name].shape == (24, 33)
        assert 0 <= found[name].min() <= found[name].max() <= 1


def test_an_image_without_mask_and_one_pixel_of_it(ckpt: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    options = ("pixel=[39,49]", "method=gradcam", "layer=head.input", "device=cpu")
    output = tmp_path / "seen"
    explain(config(f"ckpt={ckpt}", f"source={tmp_path}/photo.png", f"output={output}", *options))
    found = np.load(output / "photo.npz")
    (heat,) = (found[name] for name in found if name.startswith("heat/"))
    assert heat.shape == (40, 50)


def test_embeddings_as_figure_page_table_and_numbers(ckpt: Path, tmp_path: Path) -> None:
    options = ("what=embeddings", "projection=pca", "images=4", "per_class=8", "least=4")
    explain(config(f"ckpt={ckpt}", f"output={tmp_path}", "device=cpu", *options))
    numbers = json.loads((tmp_path / "embedding.json").read_text())
    with (tmp_path / "embedding.csv").open() as file:
        rows = list(csv.DictReader(file))
    counts = {name: sum(row["class"] == name for row in rows) for name in numbers["classes"]}
    assert len(rows) == sum(counts.values())
    assert all(4 <= count <= 8 for count in counts.values())
    assert all(0 <= score["purity"] <= 1 for score in numbers["classes"].values())
    assert numbers["seed"] == 0
    page = (tmp_path / "embedding.html").read_text()
    assert len(re.findall("<circle", page)) == len(rows)
    assert "http" not in page  # it is self-contained
    assert Image.open(tmp_path / "embedding.png").width > 500


@pytest.mark.parametrize("what", ["embeddings", "heatmaps"])
@pytest.mark.parametrize("at", ["features", "logits"])
def test_nothing_is_drawn_from_features_that_are_not_finite(
    make_checkpoint: Any, tmp_path: Path, what: str, at: str
) -> None:
    file = make_checkpoint()
    checkpoint = torch.load(file, weights_only=True)
    first = "model.head.weight" if at == "logits" else "model.stem."
    name = next(key for key in checkpoint["state_dict"] if key.startswith(first))
    checkpoint["state_dict"][name].fill_(3e38)  # finite, but its products are not
    torch.save(checkpoint, file)
    options = ("projection=pca", "images=2", "least=4", "device=cpu", f"what={what}")
    with pytest.raises(NonFiniteLogitsError, match="are not finite on"):
        explain(config(f"ckpt={file}", f"output={tmp_path}/out", *options))
    assert not (tmp_path / "out").exists()


def test_drawings_of_models(tmp_path: Path, capsys: Any) -> None:
    explain(config("what=architecture", "models=[custom]", f"output={tmp_path}"))
    assert (tmp_path / "custom.svg").read_text().startswith("<svg")
    assert "1.42 M parameters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("classes=[Raod]",), "no class 'Raod'; did you mean 'Road'"),
        (("layer=stemm",), "no layer 'stemm'; did you mean 'stem'"),
        (("pixel=[24,0]",), "outside the image, which is 24 high"),
        (("pixel=[1]",), "pixel: needs 2 numbers"),
        (("what=embeddings", "least=9999"), "too few feature cells with a single class"),
        (("what=embeddings", "source=photos"), "embeddings need masks"),
        (("what=architecture",), "needs model=NAME"),
        (("what=architecture", "models=[unett]"), "no model 'unett'; did you mean 'unet'"),
        (("ckpt=net.onnx",), "use the checkpoint"),
    ],
)
def test_wrong_commands_are_explained(
    overrides: tuple[str, ...], expected: str, ckpt: Path, tmp_path: Path
) -> None:
    given = {f"ckpt={ckpt}", f"output={tmp_path}", "images=1", "device=cpu"}
    keys = {text.split("=")[0] for text in overrides}
    kept = [text for text in given if text.split("=")[0] not in keys]
    with pytest.raises(ConfigError, match=re.escape(expected)):
        explain(config(*kept, *overrides))


def test_short_forms() -> None:
    assert _readable("architecture") == "what=architecture"
    assert _readable("model=unet,fcn") == "models=[unet,fcn]"
    assert _readable("ckpt=best.ckpt") == "ckpt=best.ckpt"
