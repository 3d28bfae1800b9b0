"""Which of the processes that train one run this is, found as Lightning finds it."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Whether this process is the one that locks the run and writes its files.

    Before Lightning is imported, and on every node: there is one first process in all.
    """
    return process_name() == ""


def process_name() -> str:
    """`rank 1`, or `node 1, rank 0`, of a process that is not the first one; else empty."""
    if _by_torchrun():
        node, rank = "0", os.environ.get("RANK", "0")
    elif _by_srun():
        node, rank = "0", os.environ.get("SLURM_PROCID", "0")
    else:
        node = os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0"))
        rank = os.environ.get("LOCAL_RANK", "0")
    if node != "0":
        return f"node {node}, rank {rank}"
    return "" if rank == "0" else f"rank {rank}"


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
