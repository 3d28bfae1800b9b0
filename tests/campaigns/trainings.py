"""The training that the campaigns interrupt, and the files that it must write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from tests.conftest import TINIEST

# The smallest complete training: two epochs of two steps, validation, samples, a test.
SMALLEST = (
    *TINIEST,
    "data.frames_per_drive=1",
    "data.cache=none",
    "model=unet",
    "model.width=2",
    "model.depth=1",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "logger=null",
    "samples=1",
    "samples_every=1",
    "log_every=1",
    "checkpoint_every=0",
    "deterministic=true",
)
EXTRA = {".lock"}  # of the process that has the run; it is not removed


class Whole(NamedTuple):
    """An undisturbed training: its run, the changes that it made, its CPU seconds."""

    path: Path
    events: list[str]
    seconds: float


def words_of(folder: Path, *overrides: str) -> tuple[str, ...]:
    """The arguments of the training; the last value of a key wins."""
    last = {word.split("=", 1)[0]: word for word in (*SMALLEST, *overrides, f"run_dir={folder}")}
    return tuple(last.values())


def whole_files(folder: Path) -> dict[str, bytes]:
    """Every file of a run, and the content of its images."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() if file.suffix == ".png" else b""
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in EXTRA
    }


def assert_same_files(folder: Path, expected: dict[str, bytes]) -> None:
    """Checks for the same files, with the same images, and no leftovers of a killed process."""
    assert whole_files(folder) == expected


def assert_all_readable(folder: Path) -> None:
    """Checks that no file is partial and none is a draft."""
    for file in folder.rglob("*"):
        if not file.is_file() or file.name in EXTRA:
            continue
        assert not file.name.startswith((".partial", ".reserve")), file
        if file.suffix == ".png":
            with Image.open(file) as image:
                image.load()
        elif file.suffix == ".json":
            json.loads(file.read_bytes())
        elif file.suffix == ".npz":
            with np.load(file) as archive:
                assert all(archive[key] is not None for key in archive)
        elif file.suffix == ".ckpt":
            torch.load(file, weights_only=True)
        elif file.suffix != ".log":
            assert file.stat().st_size, file
