"""Images per second and core of the data path, compared with the usual pipeline in one run.

    python -m benchmarks.data              480x360 and 2048x1024, with and without a warm cache
    python -m benchmarks.data --bands      four bands of 16 bits beside tifffile and albumentations
    python -m benchmarks.data --scaling    time per frame and memory at 100, 1,000, 10,000 frames

The usual pipeline decodes PNG, scales, pads, crops, flips, changes brightness and contrast and
normalizes the frame to float32, as in the examples of segmentation_models_pytorch. Ours makes the
same kind of crops. Ratios are comparable between machines, times are not.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2
import numpy as np
import tifffile
import torch
from PIL import Image

from segbench.data.cache import cached_on_disk
from segbench.data.datamodule import SegmentationData
from segbench.data.dataset import Frames, Record, SegmentationDataset
from segbench.data.fingerprint import fingerprint
from segbench.data.frames import SourceFrames
from segbench.data.sources.camvid11 import CamVid11
from segbench.data.sources.folder import Folder
from segbench.data.sources.streets import Streets
from segbench.data.transforms import Augmentation, window_draws

CASES = [((360, 480), (360, 480), 24), ((1024, 2048), (512, 1024), 8)]  # frame, crop, frames
ROUNDS = 7
MEAN, STD = (0.41, 0.42, 0.43), (0.31, 0.31, 0.31)


def usual(records: list[Record], crop: tuple[int, int]) -> Callable[[int], object]:
    """The pipeline of the smp examples on PNG files."""
    pipeline = A.Compose(
        [
            A.RandomScale((-0.5, 1.0), p=1.0),
            A.PadIfNeeded(*crop, border_mode=cv2.BORDER_CONSTANT, fill=0, fill_mask=255),
            A.RandomCrop(*crop),
            A.HorizontalFlip(p=0.5),
            A.RandomBrightnessContrast(0.3, 0.3, p=1.0),
            A.Normalize(MEAN, STD),
        ],
        seed=0,
    )

    def get(index: int) -> object:
        record = records[index]
        image = cv2.cvtColor(cv2.imread(str(record.image)), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(str(record.mask), cv2.IMREAD_UNCHANGED)
        out = pipeline(image=image, mask=mask)
        return (
            torch.from_numpy(np.ascontiguousarray(out["image"].transpose(2, 0, 1))),
            torch.from_numpy(out["mask"]).long(),
        )

    return get


def ours(
    records: list[Record], frames: Frames, crop: tuple[int, int], jitter: float, bands: int = 3
) -> Callable[[int], object]:
    """Our data set; outputs the stored values."""
    fill = (0.0,) * bands
    augmentation = Augmentation(crop, (0.5, 2.0), color_jitter=jitter, image_fill=fill)
    dataset = SegmentationDataset(records, frames, augmentation, seed=0)
    epochs = iter(range(10**9))
    return lambda index: dataset[next(epochs), index]


def compare(frame: tuple[int, int], crop: tuple[int, int], count: int, folder: Path) -> None:
    """Prints the rates of all pipelines, measured in turns."""
    streets = Streets(frame, train=count, val=0, test=0)
    for record in streets.records("train"):
        image, mask = streets.read(record)
        image = add_grain(image, record.index)
        for name, array in (("train", image), ("trainannot", np.where(mask == 255, 11, mask))):
            path = folder / name / f"{record.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(path)
    source = CamVid11(str(folder))
    records = source.records("train")
    files = SourceFrames(source, records)
    cached = cached_on_disk(files, fingerprint(source, records), folder / "cache", 10**11, "frames")
    pipelines = {
        "usual (PNG, albumentations, float32)": usual(records, crop),
        "ours without cache": ours(records, files, crop, 0.3),
        "ours, warm cache": ours(records, cached, crop, 0.3),
        "ours, warm cache, no color jitter": ours(records, cached, crop, 0.0),
    }
    print(f"\n{frame[1]}x{frame[0]}, crop {crop[1]}x{crop[0]}, one core")
    print_rates(pipelines, count)
    wrong = different_labels(files, crop)
    print(f"  {wrong} label pixels of 400 random crops differ from resize-then-crop")


def print_rates(pipelines: dict[str, Callable[[int], object]], count: int) -> None:
    """Measures the pipelines in turns; prints images per second of CPU time, and ratios."""
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    for _ in range(ROUNDS):  # in turns, so that other load affects all equally
        for name, get in pipelines.items():
            start = time.process_time()
            for index in range(count):
                get(index)
            rates[name].append(count / (time.process_time() - start))
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    reference = next(iter(medians.values()))
    for name, rate in medians.items():
        print(f"  {name:38} {rate:8.1f} images/s  {rate / reference:5.1f}x")


def compare_bands(frame: tuple[int, int], crop: tuple[int, int], count: int, folder: Path) -> None:
    """Prints the rates for TIFF images of four 16-bit bands, without color changes."""
    rng = np.random.default_rng(0)
    streets = Streets(frame, train=count, val=0, test=0)
    for record in streets.records("train"):
        image, mask = streets.read(record)
        bands = np.dstack([image, image[..., :1]]).astype(np.uint16) * 15
        bands += rng.integers(0, 90, bands.shape, np.uint16)
        for name in ("images", "masks"):
            (folder / name / "train").mkdir(parents=True, exist_ok=True)
        file = folder / "images" / "train" / f"{record.name}.tif"
        options = {"photometric": "rgb", "extrasamples": ["unspecified"], "compression": "zlib"}
        tifffile.imwrite(file, bands, planarconfig="contig", predictor=True, **options)
        Image.fromarray(mask).save(folder / "masks" / "train" / f"{record.name}.png")
    source = Folder(
        str(folder), "images/{split}/{name}.tif", "masks/{split}/{name}.png",
        classes=list(streets.classes.names), channels=4, value_range=[0, 4000],
    )  # fmt: skip
    records = source.records("train")
    files = SourceFrames(source, records)
    cached = cached_on_disk(files, "bands", folder / "cache", 10**11, "frames")
    pipelines = {
        "usual (tifffile, albumentations, float32)": usual_bands(records, crop),
        "ours without cache": ours(records, files, crop, 0.0, 4),
        "ours, warm cache": ours(records, cached, crop, 0.0, 4),
    }
    print(f"\n{frame[1]}x{frame[0]} of 4 bands, 16 bits, crop {crop[1]}x{crop[0]}, one core")
    print_rates(pipelines, count)


def usual_bands(records: list[Record], crop: tuple[int, int]) -> Callable[[int], object]:
    """The pipeline of most repositories for such images: float32 from the start."""
    pipeline = A.Compose(
        [
            A.RandomScale((-0.5, 1.0), p=1.0),
            A.PadIfNeeded(*crop, border_mode=cv2.BORDER_CONSTANT, fill=0, fill_mask=255),
            A.RandomCrop(*crop),
            A.HorizontalFlip(p=0.5),
            A.Normalize((0.4,) * 4, (0.3,) * 4, max_pixel_value=1.0),
        ],
        seed=0,
    )

    def get(index: int) -> object:
        record = records[index]
        image = tifffile.imread(record.image).astype(np.float32) / 4000
        mask = cv2.imread(str(record.mask), cv2.IMREAD_UNCHANGED)
        out = pipeline(image=image, mask=mask)
        return (
            torch.from_numpy(np.ascontiguousarray(out["image"].transpose(2, 0, 1))),
            torch.from_numpy(out["mask"]).long(),
        )

    return get


def add_grain(image: np.ndarray, seed: int) -> np.ndarray:
    """Camera-like noise: without it, drawn images compress and decode unlike photographs."""
    noise = np.random.default_rng(seed).normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def different_labels(frames: Frames, crop: tuple[int, int]) -> int:
    """Number of label pixels in 400 random crops that differ from resize-then-crop."""
    scale_crop = Augmentation(crop, (0.5, 2.0)).scale_crop
    _, mask = frames.read(0)
    wrong = 0
    for index in range(400):
        window = scale_crop.draw(mask, window_draws((0, 0, index)))
        resized = cv2.resize(mask, window.resized[::-1], interpolation=cv2.INTER_NEAREST)
        (top, left), (height, width) = window.origin, window.size
        plain = resized[top : top + height, left : left + width]
        wrong += int((window.crop_mask(mask) != (plain[:, ::-1] if window.flip else plain)).sum())
    return wrong


def scaling(folder: Path) -> None:
    """Prints time per frame of scan, cache and epoch, and peak memory, for growing sets."""
    print("frames   scan us   cache us   epoch us (each per frame)   peak memory MB")
    for count in (10, 100, 1_000, 10_000):  # the first one warms up
        start = time.perf_counter()
        source = Streets((48, 64), train=count, val=0, test=0)
        data = SegmentationData(
            source, 0, cache_dir=str(folder), num_workers=1, crop_size=(48, 64), batch_size=10
        )
        fingerprint(source, source.records("train"))
        scanned = time.perf_counter()
        loader = data.train_dataloader()
        cached = time.perf_counter()
        for _ in loader:
            pass
        done = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        times = (scanned - start, cached - scanned, done - cached)
        print(f"{count:6}", *(f"{1e6 * t / count:10.1f}" for t in times), f"{peak:28.0f}")


def main() -> None:
    """Runs the benchmark that the command line selects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--bands", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.scaling:
            scaling(Path(folder))
            return
        if arguments.bands:
            compare_bands(*CASES[0], Path(folder))
            return
        for position, case in enumerate(CASES):
            compare(*case, Path(folder) / str(position))


if __name__ == "__main__":
    main()
