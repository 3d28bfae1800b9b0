"""The directory of a run: what stands where, written so that it is never found half-written.

    runs/STUDY/NAME/seedN/
        config.yaml        the resolved config
        result.json        status, config, data fingerprint, protocol, budget, versions, scores
        confusion.npz      of the test images: names [N], groups [N], matrices int64 [N, C, C + 1],
                           boundary int64 [N, 2, C] (intersection and union of boundary bands)
        metrics.csv        the curves: one row per epoch
        checkpoints/       last.ckpt, best.ckpt
        samples/           pictures: image, mask, pred, error
        train.log
        .lock, .reserve    of the process that writes the run; the latter is room on the disk

The path holds no time, so the same command finds its run again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from segbench.errors import ConfigError
from segbench.storage import clear_drafts, locked, replacing, write_text

if TYPE_CHECKING:
    import numpy as np

SCHEMA_VERSION = 1
_RESERVED_BYTES = 1 << 16  # of the disk, with which a run that finds it full can still say so


class RunDirectory:
    """Paths, atomic writing and reading of one run.

    Args:
        path: the directory; it need not exist yet.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.result_file = self.path / "result.json"
        self.confusion_file = self.path / "confusion.npz"
        self.metrics_file = self.path / "metrics.csv"
        self.log_file = self.path / "train.log"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self._reserve = self.path / ".reserve"

    @property
    def last_checkpoint(self) -> Path:
        """The checkpoint that training resumes from."""
        return self.checkpoints / "last.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        """The checkpoint with the best validation mIoU."""
        return self.checkpoints / "best.ckpt"

    def read_result(self) -> dict[str, Any] | None:
        """The content of result.json; None if there is none or it cannot be read."""
        try:
            return json.loads(self.result_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            return None

    def read_config(self) -> dict[str, Any] | None:
        """The config that the run was last started with; None if it never was."""
        if not self.config_file.is_file():
            return None
        return yaml.safe_load(self.config_file.read_text(encoding="utf-8"))

    def write_config(self, config: dict[str, Any]) -> None:
        """Replaces config.yaml in one step."""
        write_text(self.config_file, yaml.safe_dump(config, sort_keys=False))

    def write_result(self, result: dict[str, Any]) -> None:
        """Replaces result.json in one step, on a full disk with the help of the reserve."""
        text = json.dumps({"schema_version": SCHEMA_VERSION, **result}, indent=2, allow_nan=False)
        try:
            write_text(self.result_file, text + "\n")
        except OSError:
            if not self._reserve.exists():
                raise
            self._reserve.unlink()
            write_text(self.result_file, text + "\n")

    def write_confusion(
        self,
        names: Sequence[str],
        groups: Sequence[str],
        matrices: np.ndarray,
        boundary: np.ndarray | None = None,
    ) -> None:
        """Replaces confusion.npz in one step.

        Args:
            names: N image names.
            groups: N group names.
            matrices: int64 `[N, C, C + 1]`.
            boundary: int64 `[N, 2, C]`, intersection and union of the boundary bands, if counted.
        """
        import numpy as np

        with replacing(self.confusion_file) as file:
            counts: dict[str, Any] = {"matrices": matrices}
            if boundary is not None:
                counts["boundary"] = boundary
            np.savez_compressed(file, names=np.array(names), groups=np.array(groups), **counts)

    def read_confusion(self) -> tuple[list[str], list[str], np.ndarray]:
        """Names, groups and matrices as `write_confusion` got them."""
        import numpy as np

        with np.load(self.confusion_file) as file:
            return file["names"].tolist(), file["groups"].tolist(), file["matrices"]

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Yields whether this process alone holds the run; a killed process lets go by itself."""
        with locked(self.path / ".lock") as alone:
            if not alone:
                yield False
                return
            for folder in (self.path, self.checkpoints, self.samples):
                clear_drafts(folder)
            self._reserve.write_bytes(os.urandom(_RESERVED_BYTES))  # zeros may take no room
            try:
                yield True
            finally:
                self._reserve.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes what an earlier run left here.

        Raises:
            ConfigError: the folder is no run, or holds others; nothing was removed.
        """
        kept = {".lock", self._reserve.name}
        found = {file.name for file in self.path.iterdir()} - kept - {self.log_file.name}
        if found and not self._is_run():
            raise ConfigError(
                f"overwrite=true: {self.path} holds files but no run of segbench, so nothing was "
                "removed; choose another run_dir, or empty it yourself"
            )
        others = [f.parent for f in self.path.rglob("result.json") if f.parent != self.path]
        if others:
            raise ConfigError(
                f"overwrite=true: {self.path} holds other runs ({min(others)}), so nothing was "
                "removed; choose another run_dir"
            )
        for file in sorted(self.path.rglob("*"), reverse=True):
            if file.name not in kept:
                file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()

    def _is_run(self) -> bool:
        """Whether a run has left its result or its config here; others may use the same names."""
        result = self.read_result()
        if isinstance(result, dict) and "status" in result:
            return True
        try:
            config = self.read_config()
        except (yaml.YAMLError, UnicodeDecodeError):
            return False
        return isinstance(config, dict) and "run_dir" in config
