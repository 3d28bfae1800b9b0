"""Properties and limits of the machine: cores, memory, user folders, signal names."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from segbench.errors import ConfigError

WINDOWS = os.name == "nt"
SHARED_MEMORY = Path("/dev/shm")  # through which worker processes pass batches, on Linux


def cores() -> int:
    """The CPU cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def free_memory() -> int | None:
    """Available memory in bytes without swapping; None if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) << 10
    except (OSError, StopIteration):  # not Linux
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):  # not POSIX
        return None


def free_shared_memory() -> int | None:
    """Free bytes of /dev/shm; None if it does not exist (shared memory then works differently)."""
    try:
        return shutil.disk_usage(SHARED_MEMORY).free
    except OSError:
        return None


def cache_folder() -> Path | None:
    """`$XDG_CACHE_HOME/segbench`, usually `~/.cache/segbench`; None if there is no home."""
    if found := os.environ.get("XDG_CACHE_HOME"):
        return Path(found) / "segbench"
    try:
        return Path.home() / ".cache" / "segbench"
    except RuntimeError:
        return None


def working_folder() -> str:
    """The working folder.

    Raises:
        ConfigError: it was removed after the shell had changed to it.
    """
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise ConfigError("the working folder was removed; change to an existing one") from None


def expanded(path: str | os.PathLike[str], key: str) -> Path:
    """The path with `~` replaced by the home folder.

    Args:
        path: the path as typed.
        key: the option that it is the value of.

    Raises:
        ConfigError: it starts with `~` but there is no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{key}={path}: there is no such home folder; set HOME, or use the full path"
        ) from None


def killer(code: int) -> str | None:
    """What ended a process that did not end by itself, from its exit code; None if it did.

    Args:
        code: negative for a signal; on Windows a status like 0xC0000005 for a crash.
    """
    if code < 0:
        return signal_name(-code)
    return f"0x{code:X}" if code >= 0xC0000000 else None


def signal_name(number: int) -> str:
    """`SIGKILL` for 9, `signal 40` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
