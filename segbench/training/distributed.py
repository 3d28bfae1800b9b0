"""Which of the processes that train one run this is, found as Lightning finds it."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Whether this process is the one that locks the run and writes its files.

    Before Lightning is imported, and on every node: there is one first process in all.
    """
    if _by_torchrun():
        return os.environ.get("RANK", "0") == "0"
    if _by_srun():
        return os.environ.get("SLURM_PROCID", "0") == "0"
    node = os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0"))
    return node == "0" and os.environ.get("LOCAL_RANK", "0") == "0"


def all_start_at_once() -> bool:
    """Whether torchrun or srun starts several processes, so that none can go before the others.

    Lightning itself starts the others when the first one has prepared the run.
    """
    if _by_torchrun():
        return os.environ.get("WORLD_SIZE", "1") != "1"
    return _by_srun() and os.environ["SLURM_NTASKS"] != "1"


def _by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _by_srun() -> bool:
    """A shell of SLURM, by its job name, starts processes as any other shell does."""
    is_shell = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return "SLURM_NTASKS" in os.environ and not is_shell
