"""The first of several processes is detected however they are started."""

from __future__ import annotations

import pytest

from segbench.errors import ConfigError
from segbench.training.distributed import (
    all_start_together,
    check_launch,
    devices_per_node,
    is_first_process,
)

VARIABLES = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"),
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_JOB_NAME"),
    *("SLURM_NTASKS_PER_NODE", "SLURM_NNODES", "LOCAL_WORLD_SIZE"),
)
SRUN = {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("environment", "first", "at_once"),
    [
        ({}, True, False),
        ({"LOCAL_RANK": "1"}, False, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, True, False),
        (SRUN | {"SLURM_PROCID": "0"}, True, True),
        (SRUN | {"SLURM_PROCID": "1", "SLURM_LOCALID": "0"}, False, True),
        (SRUN | {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, True, False),
        (SRUN | {"SLURM_PROCID": "0", "SLURM_JOB_NAME": "bash", "LOCAL_RANK": "1"}, False, False),
        (TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0"}, True, True),
        (TORCHRUN | {"RANK": "1", "LOCAL_RANK": "0"}, False, True),
        (TORCHRUN | SRUN | {"RANK": "1", "SLURM_PROCID": "0"}, False, True),
        (TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1"}, True, False),
    ],
)
def test_the_first_process_is_found(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], first: bool, at_once: bool
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first
    assert all_start_together() is at_once


@pytest.mark.parametrize(
    ("environment", "devices", "said"),
    [
        ({}, 2, None),
        (SRUN, 2, "--ntasks=2, which does not determine .*--ntasks-per-node=K"),
        (SRUN | {"SLURM_NTASKS": "1"}, 1, None),
        (SRUN | {"SLURM_NTASKS": "1"}, [3], None),
        (SRUN | {"SLURM_NTASKS": "1"}, 2, "one process .*trainer.devices=2.* unset SLURM_NTASKS"),
        (SRUN | {"SLURM_NTASKS": "1"}, "auto", "one process .*trainer.devices=auto"),
        (SRUN | {"SLURM_NTASKS_PER_NODE": "2"}, 2, None),
        (SRUN | {"SLURM_NTASKS_PER_NODE": "2"}, "auto", None),
        (SRUN | {"SLURM_NTASKS_PER_NODE": "2"}, 1, "--ntasks-per-node=2 .*trainer.devices=1"),
        (
            SRUN | {"SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2"},
            1,
            "--nodes=2, but trainer.num_nodes=1",
        ),
        (SRUN | {"SLURM_JOB_NAME": "bash"}, 1, None),
        (TORCHRUN, 2, None),
        (TORCHRUN, 1, "torchrun starts 2 process.*trainer.devices=1"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "2"}, "auto", None),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "1"}, "auto", "trainer.num_nodes to that of the nodes"),
    ],
)
def test_another_number_of_processes_is_refused_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    devices: int | str | list[int],
    said: str,
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    trainer = {"devices": devices, "num_nodes": 1}
    if said is None:
        check_launch(trainer)
        return
    with pytest.raises(ConfigError, match=said):
        check_launch(trainer)


@pytest.mark.parametrize(
    ("environment", "devices", "expected"),
    [
        ({}, "auto", "auto"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "2"}, "auto", 2),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "2"}, 4, 4),
        (SRUN | {"SLURM_NTASKS_PER_NODE": "2"}, "auto", 2),
        (SRUN | {"SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_NAME": "bash"}, "auto", "auto"),
    ],
)
def test_all_devices_are_those_for_which_processes_are_started(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    devices: int | str,
    expected: int | str,
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert devices_per_node({"devices": devices}) == expected
