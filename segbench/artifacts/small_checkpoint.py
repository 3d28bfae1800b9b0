"""A small checkpoint for sharing: the model and its metadata, nothing that only training needs.

Removed: optimizer, scheduler, random state, callbacks, the non-averaged weights (with EMA), and
paths of the machine. Added from result.json: scores and provenance.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import torch

from segbench.artifacts.checkpoint import Checkpoint, read_checkpoint
from segbench.artifacts.plain import with_texts
from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.typed import plain
from segbench.config import Config
from segbench.errors import ResultError
from segbench.system.storage import replacing

_OF_THE_MACHINE = ("run_dir", "logger", "overwrite", "resume")
_OF_THE_RESULT = (
    "study", "name", "seed", "command", "commit", "dirty", "hardware", "versions", "budget",
    "data_info", "params", "selected_epoch", "timings",
)  # fmt: skip


def write_small(ckpt: Path, target: Path, half: bool) -> None:
    """Writes a small checkpoint, which every verb accepts like the original.

    Args:
        ckpt: a checkpoint from `segbench.train`, in its run directory or not; or a small one.
        target: the file to write.
        half: store the weights in 16 bits; they are still computed with in 32 bits. The step
            counters of batch norm are unchanged.

    Raises:
        ConfigError: `ckpt` cannot be read.
    """
    checkpoint = read_checkpoint(ckpt)
    meta = checkpoint["segbench"].copy()
    result = result_beside(ckpt)
    trained = meta.get("trained") or _facts(result) | _epoch(checkpoint)
    meta["trained"] = trained
    if not meta["scores"].get("test"):
        tested = _test_scores(ckpt, trained.get("epoch"), result)
        meta["scores"] = {**meta["scores"], **tested}
    kept = {k: v for k, v in meta["config"].items() if k not in _OF_THE_MACHINE}
    meta["config"] = with_texts(kept, _without_folder)
    state = {
        key: value.half() if half and value.is_floating_point() and "running_" not in key else value
        for key, value in checkpoint["state_dict"].items()
    }
    with replacing(target) as draft, draft.open("wb") as file:
        torch.save({"state_dict": state, "segbench": meta}, file)


def result_beside(ckpt: Path) -> Result | None:
    """The result.json of the run that contains a checkpoint, if there is one; else None."""
    try:
        return RunDirectory(ckpt.resolve().parents[1]).read_result()
    except ResultError:  # not a result of segbench
        return None


def _facts(result: Result | None) -> Config:
    """Provenance of the weights, from the result.json of the run that contains the checkpoint."""
    if result is None:
        return {}
    known = result.to_dict()
    facts = {key: known[key] for key in _OF_THE_RESULT if known[key] is not None}
    try:
        words = shlex.split(result.command)
    except ValueError:  # no command line
        words = []
    facts["command"] = shlex.join(re.sub(r"^(\S+?=)[/~].*", r"\1PATH", word) for word in words)
    return facts


def _epoch(checkpoint: Checkpoint) -> Config:
    """The epoch, from 1, after which the weights were saved; 0 if they were only tested."""
    if "epoch" not in checkpoint:
        return {}
    is_trained = checkpoint["segbench"]["config"].get("trainer", {}).get("max_epochs") != 0
    return {"epoch": int(checkpoint["epoch"]) + 1 if is_trained else 0}


def _test_scores(ckpt: Path, epoch: int | None, result: Result | None) -> Config:
    """The test scores of the run, if these weights were the tested ones."""
    scores = result.scores.get("test") if result else None
    if result is None or result.protocol is None or result.status != "finished" or not scores:
        return {}
    tested = result.selected_epoch
    if epoch is None or tested is None:
        is_tested = ckpt.name == f"{result.protocol.selection}.ckpt"
    else:
        is_tested = epoch == tested
    return {"test": plain(scores)} if is_tested else {}


def _without_folder(key: str, value: str) -> str:
    """An absolute path without its folders: `root` becomes `data/NAME`, others the file name."""
    if not Path(value).is_absolute() and not value.startswith("~"):
        return value
    return f"data/{Path(value).name}" if key == "root" else Path(value).name
