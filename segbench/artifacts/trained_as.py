"""How an evaluated checkpoint was trained, read like the record of a training."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from segbench.artifacts.plain import mapping_at
from segbench.artifacts.result import Budget, Result

# What only a training itself records: an evaluated checkpoint does not tell it.
OF_TRAININGS_ONLY = ("steps", "images seen", "found learning rate")


def as_trained(result: Result) -> Result | None:
    """A record with what is known of the training: that of an evaluated checkpoint is added.

    None for predictions made elsewhere. How far a training of an evaluated checkpoint came
    (`OF_TRAININGS_ONLY`) is not known.
    """
    if result.kind == "train" or result.training is None:
        return result if result.kind == "train" else None
    training, config = result.training, result.training.config
    trainer, data = mapping_at(config, "trainer"), mapping_at(config, "data")
    devices = training.devices or 1
    parts = (data.get("batch_size"), trainer.get("accumulate_grad_batches", 1))
    budget = Budget(
        effective_batch_size=_product(*parts, devices),
        devices=devices,
        precision=_of_kind(str, config.get("precision")),
        ema=_of_kind(float, config.get("ema")),
        tuning_trials=_of_kind(int, config.get("tuning_trials")),
        epochs=_of_kind(int, trainer.get("max_epochs")),
    )
    info = result.data_info
    if info is not None:
        scored = info.fingerprint.get(info.split, "")
        info = replace(info, fingerprint={**training.fingerprint, info.split: scored})
    return replace(result, config=config, budget=budget, data_info=info)


def _of_kind(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _product(*values: Any) -> int | None:
    return math.prod(values) if all(type(value) is int for value in values) else None
