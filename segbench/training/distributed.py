"""The rank of this process among those that train one run, determined as Lightning does."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Whether this process locks the run and writes its files.

    Works before Lightning is imported, and on every node: there is only one such process.
    """
    return process_name() == ""


def process_name() -> str:
    """`rank 1`, or `node 1, rank 0`; empty for the first process."""
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


def all_start_together() -> bool:
    """Whether torchrun or srun starts all processes together, so that none can run first.

    Lightning itself starts the others after the first one has prepared the run.
    """
    if _by_torchrun():
        return os.environ.get("WORLD_SIZE", "1") != "1"
    return _by_srun() and os.environ["SLURM_NTASKS"] != "1"


def _by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _by_srun() -> bool:
    """A SLURM shell (recognized by its job name) starts processes as any other shell does."""
    is_shell = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return "SLURM_NTASKS" in os.environ and not is_shell
