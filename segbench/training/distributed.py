"""The rank of this process among those that train one run, determined as Lightning does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from segbench.errors import ConfigError

_IN_A_SHELL = ". To start processes without srun, unset SLURM_NTASKS"


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


def devices_per_node(trainer: Mapping[str, Any]) -> Any:
    """`trainer.devices`; with `auto`, as many as torchrun or srun start processes on a node."""
    devices = trainer.get("devices")
    if devices not in ("auto", "-1", -1):
        return devices
    if _by_torchrun():
        return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return int(os.environ.get("SLURM_NTASKS_PER_NODE", "0")) or devices if _by_srun() else devices


def check_launch(trainer: Mapping[str, Any]) -> None:
    """Checks, before anything heavy is imported, that the number of processes matches the config.

    Args:
        trainer: its config.

    Raises:
        ConfigError: srun or torchrun start another number of processes.
    """
    devices, nodes = devices_per_node(trainer), trainer.get("num_nodes", 1)
    if _by_torchrun():
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if isinstance(devices, int) and devices * nodes != world:
            raise ConfigError(
                f"torchrun starts {world} process(es), but trainer.devices={devices} times "
                f"trainer.num_nodes={nodes} are {devices * nodes}; set trainer.devices to the "
                "number on each node (--nproc-per-node), trainer.num_nodes to that of the nodes"
            )
    elif _by_srun():
        _check_srun(devices, nodes)


def _check_srun(devices: Any, nodes: int) -> None:
    tasks, per_node = os.environ["SLURM_NTASKS"], os.environ.get("SLURM_NTASKS_PER_NODE")
    if per_node is None:
        if tasks != "1":
            raise ConfigError(
                f"SLURM runs with --ntasks={tasks}, which does not determine the number of "
                "processes on each node; use --ntasks-per-node=K and set trainer.devices=K. For "
                f"one process, or a sweep, use --ntasks=1{_IN_A_SHELL}"
            )
        if not (_is_one(devices) and nodes == 1):
            raise ConfigError(
                f"SLURM runs one process (--ntasks=1), but trainer.devices={devices} and "
                f"trainer.num_nodes={nodes} take one for each device; use srun with "
                f"--ntasks-per-node=K and set trainer.devices=K, or use one device{_IN_A_SHELL}"
            )
        return
    if isinstance(devices, int) and per_node != str(devices):
        raise ConfigError(
            f"SLURM starts --ntasks-per-node={per_node} process(es), but trainer.devices={devices}"
            "; make them equal"
        )
    if os.environ.get("SLURM_NNODES", str(nodes)) != str(nodes):
        raise ConfigError(
            f"SLURM runs on --nodes={os.environ['SLURM_NNODES']}, but trainer.num_nodes={nodes}; "
            "make them equal"
        )


def _is_one(devices: Any) -> bool:
    return devices in (None, 1, "1") or (isinstance(devices, list) and len(devices) == 1)


def _by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _by_srun() -> bool:
    """A SLURM shell (recognized by its job name) starts processes as any other shell does."""
    is_shell = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return "SLURM_NTASKS" in os.environ and not is_shell
