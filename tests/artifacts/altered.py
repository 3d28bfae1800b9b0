"""Checkpoints with one changed value, for the tests of what a file may contain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

UNET = {"_target_": "segbench.models.unet.UNet", "width": 2, "depth": 1}


def changed(ckpt: Path, file: Path, path: str, value: Any) -> Path:
    """The checkpoint with one value of its entry replaced; `...` removes the key."""
    checkpoint = torch.load(ckpt, weights_only=True)
    *parents, last = path.split(".")
    place = checkpoint["segbench"]
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    torch.save(checkpoint, file)
    return file
