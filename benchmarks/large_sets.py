"""Cost of data sets of 1,000, 10,000 and 100,000 images before and between epochs.

    python -m benchmarks.large_sets

Each size runs in its own process, on PNG files of 32x32 pixels read by `data=folder`. Columns, in
seconds: listing the files, fingerprint (computed, then cached), class histogram of all masks,
filling the cache on disk, start of the second epoch to its first batch. The last columns are the
bytes of memory per image that records, cache and loader add, and the size of the cache on disk. The
target is an epoch start under one second at 100,000 images.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import cv2
import numpy as np
import torch

from segbench.data.balance import pixel_counts
from segbench.data.datamodule import SegmentationData
from segbench.data.fingerprint import fingerprint
from segbench.data.sources.folder import Folder

SIZES = (1_000, 10_000, 100_000)
SIDE = 32
DISTINCT = 100  # files with different contents; the others are hard links to them
BATCH = 16
HEAD = ("images", "list", "fingerprint", "again", "histogram", "cache", "epoch", "B/image", "MB")


def write_set(root: Path, count: int) -> None:
    """Writes `count` images with masks of ids 0..9."""
    rng = np.random.default_rng(0)
    for kind, shape, top in (("train", (SIDE, SIDE, 3), 256), ("trainannot", (SIDE, SIDE), 10)):
        (root / kind).mkdir(parents=True)
        for index in range(count):
            file = root / kind / f"image_{index:06d}.png"
            if index < DISTINCT:
                cv2.imwrite(str(file), rng.integers(0, top, shape, np.uint8))
            else:
                os.link(root / kind / f"image_{index % DISTINCT:06d}.png", file)


def measure(root: Path, count: int) -> tuple[float, ...]:
    """Returns one row of the table."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    write_set(root / "data", count)
    cache = root / "cache"
    source = Folder(
        str(root / "data"),
        images="{split}/{name}.png",
        masks="{split}annot/{name}.png",
        splits={"train": "train", "val": None, "test": None},
        classes=[f"class {number}" for number in range(10)],
    )
    before = _memory()
    listing, records = _timed(lambda: source.records("train"))
    first, _ = _timed(lambda: fingerprint(source, records, cache / "fingerprints"))
    again, _ = _timed(lambda: fingerprint(source, records, cache / "fingerprints"))
    data = SegmentationData(
        source, 0, cache="disk", cache_dir=str(cache), num_workers=1, batch_size=BATCH,
        crop_size=(SIDE, SIDE),
    )  # fmt: skip
    filling, loader = _timed(data.train_dataloader)
    histogram, _ = _timed(lambda: pixel_counts(data.dataset("train").frames, 10))
    next(iter(loader))
    loader.sampler.set_epoch(1)
    epoch, _ = _timed(lambda: next(iter(loader)))
    grown = (_memory() - before) / count
    on_disk = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) / 2**20
    return listing, first, again, histogram, filling, epoch, grown, on_disk


def _timed(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _memory() -> int:
    """Peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _row(arguments: tuple[Path, int]) -> tuple[float, ...]:
    return measure(*arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    given = parser.parse_args(arguments)
    print("".join(f"{name:>12}" for name in HEAD))
    context = multiprocessing.get_context("spawn")
    for count in given.sizes:
        with tempfile.TemporaryDirectory() as folder, context.Pool(1) as pool:
            row = pool.apply(_row, ((Path(folder), count),))
        print(f"{count:12,}" + "".join(f"{value:12.3f}" for value in row[:6]), end="")
        print(f"{row[6]:12.0f}{row[7]:12.1f}")


if __name__ == "__main__":
    main()
