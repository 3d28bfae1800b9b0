"""Where a number comes from: command, commit, versions, machine."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench.machine import cores

if TYPE_CHECKING:
    import torch

PACKAGES = (
    "segbench",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "segmentation-models-pytorch",
    "timm",
    "albumentations",
    "opencv-python-headless",
    "numpy",
    "hydra-core",
    "wandb",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> tuple[str | None, bool | None]:
    """The commit of the segbench checkout and whether it has local changes; None for a wheel."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None, None

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            encoding="utf-8",
            check=True,
            timeout=20,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def command() -> str:
    """The command line of this process, as one could type it."""
    module = getattr(sys.modules["__main__"].__spec__, "name", None)
    program = ["python", "-m", module] if module else ["python", sys.argv[0]]
    return shlex.join([*program, *sys.argv[1:]])


def hardware(device: torch.device, count: int = 1) -> dict[str, Any]:
    """What the work ran on, which need not be all that the machine has.

    Args:
        device: of the network.
        count: how many such devices shared the work.
    """
    import torch

    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "num_gpus": count if on_gpu else 0,
        "cpu": _cpu_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda if on_gpu else None,
    }


def machine(hardware: Mapping[str, Any] | None) -> str:
    """The device in the `hardware` of a result; for a CPU its name and the threads."""
    if not hardware:
        return "unknown machine"
    if hardware["device"] != "cpu":
        count = hardware.get("num_gpus") or 1
        return hardware["device"] if count == 1 else f"{count} x {hardware['device']}"
    threads = hardware.get("threads") or hardware.get("cores")
    return f"{hardware.get('cpu') or 'CPU'}, {threads} thread{'s' * (threads != 1)}"


def commit_in_words(run: Mapping[str, Any]) -> str:
    """The commit of a run, short; says so if there were changes on top of it."""
    if not run.get("commit"):
        return "unknown commit"
    return f"commit {run['commit'][:9]}" + (" with uncommitted changes" if run["dirty"] else "")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
