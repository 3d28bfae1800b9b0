"""The record of a training before its first step: config, data, budget, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from segbench.artifacts import provenance
from segbench.artifacts.result import Budget, DataInfo, Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.config import Config
from segbench.errors import ConfigError, DataError, ResultError
from segbench.metrics.scores import amount
from segbench.system.console import say
from segbench.training.build import RunParts


def earlier_result(run: RunDirectory) -> Result | None:
    """The record of an earlier start of the run, if there is a readable one."""
    try:
        return run.read_result()
    except ResultError:  # it will be replaced; callers that need it have already read it
        return None


def first_result(config: Config, before: Result | None) -> Result:
    """The record that config and machine alone determine.

    Args:
        config: the resolved config of `segbench.train`.
        before: record of an interrupted start; its data are kept in case this start fails.
    """
    commit, dirty = provenance.commit()
    return Result(
        status="running",
        kind="train",
        study=config["study"],
        name=config["name"],
        seed=config["seed"],
        model=config["model"]["_target_"],
        data=config["data"]["_target_"],
        config=config,
        command=provenance.command(),
        commit=commit,
        dirty=dirty,
        versions=provenance.versions(),
        data_info=before.data_info if before else None,
    )


def describe(result: Result, parts: RunParts, config: Config) -> Result:
    """Completes the record with everything known before the first step."""
    data, trainer = parts.data, parts.trainer
    batch_size = data.batch_size * trainer.world_size * trainer.accumulate_grad_batches
    return replace(
        result,
        hardware=provenance.hardware(trainer.strategy.root_device, trainer.world_size),
        classes=data.classes,
        protocol=parts.protocol,
        params=sum(p.numel() for p in parts.task.model.parameters()),
        initial_weights=parts.initial_weights,
        data_info=DataInfo(
            fingerprint=parts.fingerprint,
            protocol=data.source.protocol,
            comparable=data.source.comparable,
            label_map=getattr(data.source, "found_label_map", None),
            split="test",
            num_images={split: len(data.records(split)) for split in parts.fingerprint},
            trained_on=parts.trained_on,
        ),
        budget=Budget(
            effective_batch_size=batch_size,
            devices=trainer.world_size,
            precision=parts.protocol.precision,
            ema=config["ema"],
            tuning_trials=config["tuning_trials"],
        ),
    )


def print_description(result: Result, frozen: int = 0) -> None:
    """Prints what is trained, and a note if the test score will be optimistic.

    Args:
        result: record of the run.
        frozen: parameters of the model that are not trained.
    """
    info, protocol, budget = result.data_info, result.protocol, result.budget
    assert info is not None
    assert protocol is not None
    prints = info.fingerprint
    if protocol.selection == "best" and prints["val"] == prints.get("test"):
        say(
            "note: val and test are the same images, and the best epoch is chosen on them: the "
            "test score will be too high. Set selection=last, or hold out other images of train "
            "(Cityscapes: data.val_cities=[ulm,zurich])."
        )
    for split, count in info.trained_on.items():
        say(
            f"note: training images among the {info.num_images[split]} {split} images: {count}; so "
            f"the {split} score will be too high. segbench.check_data lists them"
        )
    if budget.precision == "bf16-mixed" and not has_fast_bf16(result.hardware.device):
        say(
            "note: this CPU has no instructions for bf16, so training takes several times as long "
            "as with precision=32-true"
        )
    images = info.num_images["train"]
    say(
        f"{result.name} seed {result.seed}: {amount(result.params or 0)} parameters"
        f"{f' ({amount(frozen)} frozen)' if frozen else ''}, "
        f"{images} training image{'s' * (images != 1)}, batch {budget.effective_batch_size}, "
        f"{budget.precision}, {result.hardware.device}",
    )


def has_fast_bf16(device: str | None) -> bool:
    """Whether 16 bits save time on a device: on a CPU only if it computes with them natively."""
    return device != "cpu" or torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "AVX2")


def check_same_run(
    begun: Mapping[str, object], before: Result | None, parts: RunParts, run: RunDirectory
) -> None:
    """Refuses to continue a run with other images or another number of devices.

    Args:
        begun: the `segbench` entry of the checkpoint that is resumed.
        before: record of the run, used if a checkpoint of an earlier version lacks a value.
        parts: the training that is about to start.
        run: its run directory.

    Raises:
        DataError: the images differ.
        ConfigError: the effective batch size would change.
    """
    old = begun.get("fingerprint")
    if not old and before and before.data_info:
        old = before.data_info.fingerprint
    now = parts.fingerprint
    known = old if isinstance(old, Mapping) else {}  # without test if nothing was tested
    changed = [split for split in now if split in known and known[split] != now[split]]
    if changed:
        raise DataError(
            f"{run.path} was started on different data: the fingerprint of {', '.join(changed)} "
            "differs. Restore the files, or retrain with overwrite=true"
        )
    devices = begun.get("devices", parts.trainer.world_size)
    if devices != parts.trainer.world_size:
        raise ConfigError(
            f"{run.path} was started on {devices} device(s), and this command would continue it "
            f"on {parts.trainer.world_size}, with a different effective batch size. Set "
            f"trainer.devices={devices}, or retrain with overwrite=true"
        )
