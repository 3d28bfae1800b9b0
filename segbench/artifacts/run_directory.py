"""The directory of a run: its layout, and atomic writing, so that files are never half-written.

    runs/STUDY/NAME/seedN/
        config.yaml        the resolved config
        result.json        status, config, data fingerprint, protocol, budget, versions, scores
        confusion.npz      of the test images: what was counted, see `artifacts.pixel_counts`
        metrics.csv        the curves: one row per epoch
        checkpoints/       last.ckpt, best.ckpt
        samples/           image sheets: image, mask, pred, error
        train.log
        .lock, .reserve    of the process that writes the run; the latter reserves disk space

The path contains no time, so the same command finds its run again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from segbench.config import Config
from segbench.errors import ConfigError, ResultError
from segbench.system.storage import clear_drafts, locked, replacing, write_text

if TYPE_CHECKING:
    import numpy as np

    from segbench.artifacts.result import Result

_RESERVED_BYTES = 1 << 16  # disk space set aside, so that a full disk can still be recorded


class RunDirectory:
    """Paths, atomic writes and reads of one run.

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

    def read_result(self) -> Result | None:
        """The record of the run; None if there is none.

        Raises:
            ResultError: result.json cannot be read, or its content is invalid.
        """
        from segbench.artifacts.result import Result

        try:
            return Result.from_dict(json.loads(self.result_file.read_bytes()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ResultError(f"{self.result_file} cannot be read ({error.strerror})") from None
        except (ValueError, RecursionError) as error:
            raise ResultError(f"{self.result_file} is corrupt ({error})") from None
        except ResultError as error:
            raise type(error)(f"{self.result_file}: {error}") from None

    def read_config(self) -> Config | None:
        """The config that the run was last started with; None if it was never started.

        Raises:
            ConfigError: config.yaml cannot be read or is not a config; the message says what to do.
        """
        try:
            config = yaml.safe_load(self.config_file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(self._damaged_config(f"cannot be read ({reason})")) from None
        if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
            raise ConfigError(self._damaged_config("is not a config"))
        return config

    def _damaged_config(self, what: str) -> str:
        return (
            f"{self.config_file} {what}, so it is unknown whether this is the same run. Remove "
            "that file to continue the run with the config of this command, or retrain with "
            "overwrite=true"
        )

    def write_config(self, config: Config) -> None:
        """Replaces config.yaml atomically."""
        write_text(self.config_file, yaml.safe_dump(config, sort_keys=False))

    def write_result(self, result: Result) -> None:
        """Replaces result.json atomically, using the reserved space if the disk is full."""
        text = json.dumps(result.to_dict(), indent=2, allow_nan=False)
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
        more: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Replaces confusion.npz in one step; see `artifacts.pixel_counts` for what it contains.

        Args:
            names: N image names.
            groups: N group names.
            matrices: int64 `[N, C, C + 1]`.
            more: what else was counted of each image, by metric of `metrics.catalog`.
        """
        import numpy as np

        from segbench.artifacts.pixel_counts import pack

        counts: dict[str, np.ndarray] = pack(matrices, more)
        with replacing(self.confusion_file) as file:
            counts |= {"names": np.array(names), "groups": np.array(groups)}
            np.savez_compressed(file, **counts)  # type: ignore[arg-type]

    def read_confusion(self) -> tuple[list[str], list[str], np.ndarray]:
        """Names, groups and matrices as `write_confusion` got them."""
        from segbench.artifacts.pixel_counts import read_pixel_counts

        counts = read_pixel_counts(self.confusion_file)
        return counts.names, counts.groups, counts.matrices()

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Yields whether this process has locked the run; a killed process releases its lock."""
        with locked(self.path / ".lock") as alone:
            if not alone:
                yield False
                return
            for folder in (self.path, self.checkpoints, self.samples):
                clear_drafts(folder)
            try:
                # Zeros may use no disk space.
                self._reserve.write_bytes(os.urandom(_RESERVED_BYTES))
                yield True
            finally:
                self._reserve.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes what an earlier run left here.

        Raises:
            ConfigError: the folder is not a run, or contains other runs; nothing was removed.
        """
        kept = {".lock", self._reserve.name}
        found = {file.name for file in self.path.iterdir()} - kept - {self.log_file.name}
        if found and not self._is_run():
            raise ConfigError(
                f"overwrite=true: {self.path} contains files but no segbench run, so nothing was "
                "removed; set a different run_dir, or empty it yourself"
            )
        others = [f.parent for f in self.path.rglob("result.json") if f.parent != self.path]
        if others:
            raise ConfigError(
                f"overwrite=true: {self.path} contains other runs ({min(others)}), so nothing "
                "was removed; set a different run_dir"
            )
        for file in sorted(self.path.rglob("*"), reverse=True):
            if file.name not in kept:
                file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()

    def _is_run(self) -> bool:
        """Whether the folder has a result or config of a run; the names are not unique to runs."""
        with contextlib.suppress(ResultError):
            if self.read_result() is not None:
                return True
        with contextlib.suppress(ConfigError):
            return "run_dir" in (self.read_config() or {})
        return False
