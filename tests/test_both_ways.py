"""Every pixel type: a checkpoint and its written predictions are scored to the same integers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from segbench.artifacts.run_directory import RunDirectory
from segbench.config.compose import compose_checked, register
from segbench.data.bands import Bands, bands_from
from segbench.data.decoding import decode_image
from segbench.data.sources.streets import CLASSES
from segbench.data.volumes import is_volume
from segbench.evaluate import evaluate
from segbench.evaluation import confusion_figure
from segbench.models.custom import Custom
from segbench.predict import predict
from tests.data.pixel_files import (
    chunk,
    netpbm,
    npy,
    npz,
    palette_image,
    pillow,
    png,
    random_pixels,
    tiff,
)

Files = dict[str, bytes]
FEW = ("num_workers=0", "gallery=0", "boundary=false", "calibration=false")
TYPES = ("uint8", "uint16", "int8", "int16", "float16", "float32", "float64")
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (16, 16)},
    "bigendian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
    "deflate": {"compression": "zlib", "predictor": True},
}
COLORS = np.random.default_rng(5).integers(0, 256, (16, 3), np.uint8)


def eight_bit_files() -> Files:
    """Every kind of file that is read as 8-bit RGB."""
    gray, rgb, rgba, indices = (
        random_pixels("uint8", bands, top)
        for bands, top in ((1, None), (3, None), (4, None), (1, 15))
    )
    bits = random_pixels("uint8", 1, top=1)
    files = {f"png{n}.png": png(random_pixels("uint8", 1, (1 << n) - 1), n) for n in (1, 2, 4, 8)}
    for name, pixels in (("gray_alpha", rgba[..., :2]), ("rgb", rgb), ("rgba", rgba)):
        files[f"png_{name}.png"] = png(pixels, 8)
    files["png_key.png"] = png(rgb, 8, chunk(b"tRNS", rgb[2, 2].astype(">u2").tobytes()))
    for kind in ("png", "gif", "bmp", "tiff"):
        palette = palette_image(indices, COLORS)
        files[f"palette_{kind}.{kind}"] = pillow(palette, kind)
        if kind in ("png", "gif"):
            files[f"clear_{kind}.{kind}"] = pillow(palette, kind, transparency=3)
        files[f"one_bit_{kind}.{kind}"] = pillow(Image.fromarray(bits == 1), kind)
        files[f"gray_{kind}.{kind}"] = pillow(gray, kind)
    for name, options in LAYOUTS.items():
        files[f"tiff_{name}.tif"] = tiff(rgb, photometric="rgb", **options)
    planar = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    files["tiff_planar.tif"] = tiff(planar, photometric="rgb", planarconfig="separate")
    files["tiff_white_is_zero.tif"] = tiff(gray, photometric="miniswhite")
    for alpha in ("unassalpha", "assocalpha"):
        files[f"tiff_{alpha}.tif"] = tiff(rgba, photometric="rgb", extrasamples=[alpha])
    cmyk = Image.frombytes("CMYK", rgba.shape[1::-1], rgba.tobytes())
    files |= {"cmyk.tif": pillow(cmyk, "TIFF"), "cmyk_jpeg.jpg": pillow(cmyk, "JPEG")}
    pages = [Image.fromarray(random_pixels("uint8", 3, seed=seed)) for seed in range(2)]
    files["pages.tif"] = pillow(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    files["lzw.tif"] = pillow(rgb, "TIFF", compression="tiff_lzw")
    files["turned.tif"] = pillow(rgb, "TIFF", tiffinfo={274: 6})
    exif = Image.Exif()
    exif[274] = 8
    files["turned_jpeg.jpg"] = pillow(rgb, "JPEG", exif=exif)
    files |= {"lossy.jpg": pillow(gray, "JPEG"), "lossy_webp.webp": pillow(rgb, "WEBP")}
    files["exact.webp"] = pillow(rgba, "WEBP", lossless=True, exact=True)
    for plain in (False, True):
        for top in (1, 100, 255):
            for bands, suffix in ((1, "pgm"), (3, "ppm")):
                pixels = random_pixels("uint8", bands, top)
                files[f"netpbm_{suffix}{top}{plain}.{suffix}"] = netpbm(pixels, top, plain)
    files["pbm.pbm"] = pillow(Image.fromarray(bits == 1), "PPM")
    files |= {"npy.npy": npy(rgb), "npy_bool.npy": npy(bits == 1), "npz.npz": npz(gray)}
    return files


def files_of_bands(bands: int) -> Files:
    """Files of every numeric type, whose values keep their meaning."""
    options: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig"}
    if bands == 1:
        options = {}
    elif bands > 2:
        options = {"photometric": "rgb", "extrasamples": ["unspecified"] * (bands - 3)}
    files = {}
    for dtype in TYPES:
        pixels = random_pixels(dtype, bands)
        files[f"tiff_{dtype}.tif"] = tiff(pixels, **options)
        files[f"npy_{dtype}.npy"] = npy(pixels)
        files[f"big_{dtype}.npy"] = npy(pixels.astype(pixels.dtype.newbyteorder(">")))
    deep = random_pixels("uint16", bands)
    files["npz_uint16.npz"] = npz(deep)
    for name, layout in LAYOUTS.items():
        files[f"tiff_{name}.tif"] = tiff(deep, **options, **layout)
    if bands <= 4:
        files["png16.png"] = png(deep, 16)
    if bands in (1, 3):
        files["twelve.ppm"] = netpbm(random_pixels("uint16", bands, 4095), 4095, plain=False)
    if bands == 1:
        files["few.png"] = png(random_pixels("uint8", 1, 15), 4)
    if bands == 3:
        files["gray.png"] = png(random_pixels("uint16", 1, 4095), 16)
        files["palette.png"] = pillow(palette_image(random_pixels("uint8", 1, 15), COLORS), "PNG")
    return files


def geotiffs(bands: int, dtypes: tuple[str, ...]) -> Files:
    """Georeferenced rasters, which are predicted by rasterio in windows."""
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
    files = {}
    for dtype in dtypes:
        pixels = random_pixels(dtype, bands).reshape(6, 9, bands)
        with rasterio.MemoryFile() as memory:
            with memory.open(
                driver="GTiff", count=bands, height=6, width=9, dtype=dtype, crs="EPSG:32630",
                transform=rasterio.transform.from_origin(0, 60, 10, 10),
            ) as file:  # fmt: skip
                file.write(np.moveaxis(pixels, -1, 0))
            files[f"geo_{dtype}.tif"] = memory.read()
    return files


def odd_geotiffs() -> Files:
    """Georeferenced rasters whose values are not simply 8-bit RGB."""
    options: dict[str, Any] = {"extratags": [(33550, "d", 3, (10.0, 10.0, 0.0), True)]}
    gray, rgba = random_pixels("uint8", 1), random_pixels("uint8", 4)
    files = {"geo_white.tif": tiff(gray, photometric="miniswhite", **options)}
    bits = random_pixels("uint8", 1, top=1)
    files["geo_bit.tif"] = tiff(bits == 1, photometric="minisblack", **options)
    for alpha in ("unassalpha", "assocalpha"):
        files[f"geo_{alpha}.tif"] = tiff(rgba, photometric="rgb", extrasamples=[alpha], **options)
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, :16] = COLORS.T.astype(np.uint16) * 257
    indices = random_pixels("uint8", 1, top=15)
    files["geo_palette.tif"] = tiff(indices, photometric="palette", colormap=colormap, **options)
    return files


def volumes() -> Files:
    """NIfTI volumes, of which each slice is an image."""
    nibabel = pytest.importorskip("nibabel", reason="the extra medical is not installed")
    files = {}
    for dtype in ("uint8", "int16", "float32"):
        values = np.random.default_rng(0).integers(0, 100, (6, 9, 3)).astype(dtype)
        image = nibabel.Nifti1Image(values, np.diag([-1.0, 2.0, 1.0, 1.0]))
        file = io.BytesIO()
        image.to_stream(file)
        files[f"{dtype}.nii"] = file.getvalue()
    return files


CELLS: dict[str, tuple[Callable[[], Files], Any, Any]] = {
    "8-bit RGB": (eight_bit_files, 3, "auto"),
    "1 band": (lambda: files_of_bands(1), 1, [0, 1000]),
    "2 bands": (lambda: files_of_bands(2), 2, [-100, 1000]),
    "gray as RGB": (lambda: files_of_bands(1), 3, [0, 1000]),
    "3 bands": (lambda: files_of_bands(3), 3, [0, 1000]),
    "4 bands": (lambda: files_of_bands(4), 4, [0, 1000]),
    "5 bands": (lambda: files_of_bands(5), 5, [0, 1000]),
    "chosen bands": (lambda: files_of_bands(4), [3, 0, 1], [0, 1000]),
    "8 bits, 5 bands": (lambda: {"tiff.tif": files_of_bands(5)["tiff_uint8.tif"]}, 5, "auto"),
    "rasters": (lambda: geotiffs(4, ("uint8", "uint16", "int16", "float32")), 4, [0, 1000]),
    "RGB rasters": (lambda: geotiffs(3, ("uint8",)) | odd_geotiffs(), 3, "auto"),
    "volumes": (volumes, 1, [0, 100]),
}


def write_set(root: Path, files: Files, bands: Bands) -> None:
    """The files as a test split, with random labels of the size of each image."""
    rows = []
    for number, (name, data) in enumerate(files.items()):
        image = root / "images" / name
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(data)
        rng = np.random.default_rng(number)
        if is_volume(image):
            mask = image.with_name(name).parents[1] / "masks" / name
            write_labels(mask, rng.integers(0, 11, (6, 9, 3), np.uint8), data)
        else:
            size = decode_image(data, image, bands).shape[:2]
            mask = root / "masks" / f"{image.stem}.png"
            mask.parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 11, size, np.uint8)).save(mask)
        rows.append([f"images/{name}", f"masks/{mask.name}", "test"])
    with (root / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "mask", "split"], *rows])


def write_labels(path: Path, labels: np.ndarray, like: bytes) -> None:
    nibabel = pytest.importorskip("nibabel")
    path.parent.mkdir(exist_ok=True)
    affine = nibabel.Nifti1Image.from_bytes(like).affine
    nibabel.save(nibabel.Nifti1Image(labels, affine), path)


def checkpoint_for(root: Path, bands: Bands, data: dict[str, Any]) -> Path:
    """A model that was never trained, for these bands, in a checkpoint that names the data set."""
    torch.manual_seed(0)
    model = Custom(num_classes=11, width=8, dilations=(2,), in_channels=bands.count)
    for _ in range(30):  # batch norm statistics, so that predictions contain several classes
        model(torch.randn(2, bands.count, 12, 16))
    node = {"_target_": "segbench.models.custom.Custom", "width": 8, "dilations": [2]}
    limits = bands.value_range if isinstance(bands.value_range, str) else list(bands.value_range)
    channels = bands.channels if isinstance(bands.channels, int) else list(bands.channels)
    stored = {"channels": channels, "value_range": limits, "show": None}
    meta = {
        "format": 1,
        "config": {
            "data": data, "model": node, "name": "custom", "seed": 0,
            "inference": {"_target_": "segbench.inference.predictor.Predictor", "mode": "whole"},
        },
        "classes": CLASSES.to_dict(),
        "mean": data["mean"],
        "std": data["std"],
        "protocol": {"resize": None, "precision": "32-true", "bands": stored},
        "scores": {},
    }  # fmt: skip
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state, "segbench": meta}, root / "best.ckpt")
    return root / "best.ckpt"


@pytest.fixture(scope="module")
def configs() -> dict[str, Any]:
    """The config of each verb, composed once."""
    words = {
        "evaluate": ("ckpt=x", *FEW),
        "predict": ("ckpt=x", "source=x", "write=[ids]", "device=cpu"),
        "predictions": ("predictions=x", "data=folder", "data.root=x", *FEW),
    }
    register()
    found = {}
    for name, given in words.items():
        patterns = ("data.table=x", "data.classes=[x]") if name == "predictions" else ()
        verb = "predict" if name == "predict" else "evaluate"
        config = compose_checked(verb, [*given, *patterns])
        found[name] = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
        OmegaConf.set_struct(found[name], False)
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_a_checkpoint_and_its_predictions_give_the_same_integers(
    cell: str, tmp_path: Path, configs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confusion_figure, "draw_confusion", lambda *arguments: None)  # slow
    make, channels, limits = CELLS[cell]
    bands = bands_from(channels, limits, None)
    files = make()
    write_set(tmp_path, files, bands)
    data = {
        "root": str(tmp_path), "table": "pairs.csv", "classes": list(CLASSES.names),
        "channels": channels, "value_range": limits,
        "mean": [0.4] * bands.count, "std": [0.3] * bands.count,
    }  # fmt: skip
    target = {"_target_": "segbench.data.sources.folder.Folder"}
    ckpt = str(checkpoint_for(tmp_path, bands, target | data))

    def run(verb: Callable[..., Any], name: str, **keys: Any) -> Any:
        return verb(OmegaConf.merge(configs[name], keys))

    run(evaluate, "evaluate", ckpt=ckpt, run_dir=f"{tmp_path}/direct")
    seen = {"source": f"{tmp_path}/images/*", "output": f"{tmp_path}/seen"}
    assert run(predict, "predict", ckpt=ckpt, **seen) == 0
    folder = f"{tmp_path}/seen/ids"
    run(evaluate, "predictions", predictions=folder, data=data, run_dir=f"{tmp_path}/written")
    direct, written = (
        RunDirectory(tmp_path / name).read_confusion() for name in ("direct", "written")
    )
    assert direct[0] == written[0]
    assert len(direct[0]) == len(files) * (3 if cell == "volumes" else 1)
    for name, one, other in zip(direct[0], direct[2], written[2], strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert np.count_nonzero(direct[2].sum((0, 1))) > 1  # more than one class is predicted
