"""Georeferenced rasters: the same labels as in memory, the same extent, with little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from segbench.artifacts.segmenter import Segmenter
from segbench.predict import predict
from tests.conftest import ROOT, python_path

rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
WHERE = rasterio.transform.from_origin(500_000, 4_000_000, 10, 10)


def write_raster(path: Path, values: np.ndarray, **options: Any) -> Path:
    """Bands first; located in Spain."""
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=values.dtype, crs="EPSG:32630", transform=WHERE, **options,
    ) as file:  # fmt: skip
        file.write(values)
    return path


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    values = np.repeat(np.repeat(rng.integers(0, 256, (3, 40, 70), np.uint8), 8, 1), 8, 2)
    return write_raster(tmp_path / "scene.tif", values, photometric="rgb", nodata=None)


def read(path: Path) -> tuple[np.ndarray, Any, Any]:
    with rasterio.open(path) as file:
        return file.read(), file.crs, file.transform


def test_the_result_has_the_georeference_of_the_raster(
    ckpt: Path, raster: Path, tmp_path: Path, compose: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert predict(compose("predict", f"ckpt={ckpt}", f"source={raster}", f"output={output}")) == 0
    expected = Segmenter(ckpt, device="cpu").predict(raster, with_probs=False)
    for kind, bands in (("ids", 1), ("color", 3), ("overlay", 3)):
        found, crs, transform = read(output / kind / "scene.tif")
        assert (found.shape, crs.to_epsg(), transform) == ((bands, 320, 560), 32630, WHERE)
        if kind == "ids":
            np.testing.assert_array_equal(found[0], expected.labels)
            plain = np.array(Image.open(output / kind / "scene.tif"))
            np.testing.assert_array_equal(plain, expected.labels)
        if kind == "color":
            colors = expected.classes.decode(expected.labels)
            np.testing.assert_array_equal(np.moveaxis(found, 0, -1), colors)
    assert "179200 pixels" in capsys.readouterr().out


def test_strips_of_windows_give_what_windows_in_memory_give(
    ckpt: Path, raster: Path, tmp_path: Path, compose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segbench.inference.rasters._STRIP_BYTES", 4 * 11 * 96 * 256)
    slide = ("inference=slide", "inference.crop_size=[96,128]", "inference.stride=[64,80]")
    words = (f"ckpt={ckpt}", f"source={raster}", f"output={tmp_path}/out", "write=[ids]")
    assert predict(compose("predict", *words, *slide)) == 0
    node = {"_target_": "segbench.inference.predictor.Predictor", "mode": "slide",
            "crop_size": [96, 128], "stride": [64, 80]}  # fmt: skip
    expected = Segmenter(ckpt, node, "cpu").predict(raster, with_probs=False).labels
    np.testing.assert_array_equal(read(tmp_path / "out" / "ids" / "scene.tif")[0][0], expected)


def test_pixels_without_data_get_no_class(ckpt: Path, tmp_path: Path, compose: Any) -> None:
    values = np.full((3, 40, 50), 90, np.uint8)
    values[:, :, 20:30] = 0
    file = write_raster(tmp_path / "holes.tif", values, nodata=0)
    words = (f"ckpt={ckpt}", f"source={file}", f"output={tmp_path}/out")
    assert predict(compose("predict", *words)) == 0
    labels = read(tmp_path / "out" / "ids" / "holes.tif")[0][0]
    assert (labels[:, 20:30] == 255).all()
    assert (labels[:, :20] != 255).all()


def test_ambiguous_rasters_are_refused(
    ckpt: Path, tmp_path: Path, compose: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = write_raster(tmp_path / "deep.tif", np.zeros((4, 40, 50), np.uint16))
    words = (f"ckpt={ckpt}", f"source={deep}", f"output={tmp_path}/out")
    assert predict(compose("predict", *words)) == 1
    assert (
        "deep.tif: contains 16-bit integers, and the values of black and white are unknown"
        in capsys.readouterr().err
    )
    assert not list((tmp_path / "out").rglob("deep*"))
    rgb = write_raster(tmp_path / "rgb.tif", np.zeros((3, 40, 50), np.uint8))
    words = (f"ckpt={ckpt}", f"source={rgb}", f"output={tmp_path}/out", "inference=tta")
    assert predict(compose("predict", *words)) == 1
    assert "without TTA" in capsys.readouterr().err


def test_a_tiff_without_georeference_is_an_ordinary_image(
    ckpt: Path, tmp_path: Path, compose: Any
) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    words = (f"ckpt={ckpt}", f"source={tmp_path}/plain.tif", f"output={tmp_path}/out")
    assert predict(compose("predict", *words)) == 0
    assert (tmp_path / "out" / "ids" / "plain.png").is_file()


MEASURED = """
import resource, sys
import torch
from pathlib import Path
from segbench.data.bands import Bands
from segbench.data.classes import ClassSet
from segbench.inference import rasters
from segbench.inference.predictor import Predictor
import numpy as np
classes = ClassSet(("a", "b"), ((9, 9, 9), (255, 255, 255)))
predictor = Predictor(torch.nn.Conv2d(4, 2, 1).eval(), classes, [0.5] * 4, [1.0] * 4, "slide",
                      (512, 512), (512, 512), value_range=(0.0, 4000.0))
raster = rasters.Raster(Path(sys.argv[1]), Bands(4, (0.0, 4000.0)), torch.device("cpu"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
target = {"ids": Path(sys.argv[1] + ".ids.tif")}
rasters.predict_raster(raster, predictor, (512, 512), (512, 512), target,
                       np.arange(256, dtype=np.uint8), 0.5, lambda done, total: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_large_raster_takes_the_memory_of_a_strip(tmp_path: Path) -> None:
    """8,000 x 8,000 pixels of four bands are 512 MB; 20,000 x 20,000 need more only in width."""
    side = 8000
    file = tmp_path / "large.tif"
    options: dict[str, Any] = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    with rasterio.open(
        file, "w", driver="GTiff", count=4, height=side, width=side, dtype="uint16",
        crs="EPSG:32630", transform=WHERE, compress="deflate", **options,
    ) as made:  # fmt: skip
        for top in range(0, side, 512):
            rows = min(512, side - top)
            block = np.full((4, rows, side), top % 4000, np.uint16)
            made.write(block, window=((top, top + rows), (0, side)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(file)], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": python_path(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
    )  # fmt: skip
    assert int(done.stdout) / 1024 < 300  # MB
    with rasterio.open(f"{file}.ids.tif") as found:
        assert found.shape == (side, side)
