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

The path holds no time, so the same command finds its run again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from segbench.config import Config
from segbench.errors import ConfigError, ResultError

if TYPE_CHECKING:
    import numpy as np

    from segbench.artifacts.result import Result


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
            ResultError: result.json cannot be read, or contains something else.
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
            raise ResultError(f"{self.result_file}: {error}") from None

    def read_config(self) -> Config | None:
        """The config that the run was last started with; None if it never was.

        Raises:
            ConfigError: config.yaml cannot be read, or is no config; it says what to do.
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
            f"{self.config_file} {what}, so nothing says whether this is the same run. Remove that "
            "file to continue the run under the config of this command, or retrain with "
            "overwrite=true"
        )

    def write_config(self, config: Config) -> None:
        """Replaces config.yaml in one step."""
        with replacing(self.config_file) as file:
            file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def write_result(self, result: Result) -> None:
        """Replaces result.json in one step."""
        text = json.dumps(result.to_dict(), indent=2, allow_nan=False)
        with replacing(self.result_file) as file:
            file.write_text(text + "\n", encoding="utf-8")

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
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def clear(self) -> None:
        """Removes what an earlier run left here.

        Raises:
            ConfigError: the folder is no run, or holds others; nothing was removed.
        """
        found = {file.name for file in self.path.iterdir()} - {".lock", self.log_file.name}
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
            if file.name != ".lock":
                file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()

    def _is_run(self) -> bool:
        """Whether a run has left its result or its config here; others may use the same names."""
        with contextlib.suppress(ResultError):
            if self.read_result() is not None:
                return True
        with contextlib.suppress(ConfigError):
            return "run_dir" in (self.read_config() or {})
        return False


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a path beside `target` that takes its place when the block ends without an error.

    A killed process leaves `.partial-NAME` behind, which the next one overwrites.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{target.name}")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
