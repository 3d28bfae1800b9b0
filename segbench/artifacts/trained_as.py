"""How an evaluated checkpoint was trained, read like the record of a training."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from segbench.artifacts.plain import mapping_at
from segbench.artifacts.result import Budget, Result

# What only a training itself records: its checkpoint does not tell it.
_OF_TRAININGS_ONLY = frozenset({"images seen", "found learning rate", "commit"})
_OF_DEVICES = frozenset({"effective batch size", "batch normalization"})


def as_trained(result: Result) -> Result | None:
    """A record with what is known of the training: that of an evaluated checkpoint is added.

    None for predictions made elsewhere. Some properties stay unknown, see `is_unknown`.
    """
    if result.kind == "train" or result.training is None:
        return result if result.kind == "train" else None
    training, config = result.training, result.training.config
    trainer, data = mapping_at(config, "trainer"), mapping_at(config, "data")
    parts = (data.get("batch_size"), trainer.get("accumulate_grad_batches", 1), training.devices)
    epochs, steps = _limits(config)
    budget = Budget(
        effective_batch_size=_product(*parts),
        devices=training.devices,
        precision=result.protocol.precision if result.protocol else None,
        ema=_of_kind(float, config.get("ema")),
        tuning_trials=_of_kind(int, config.get("tuning_trials", 0)),
        epochs=epochs,
        steps=steps,
    )
    info = result.data_info
    info = info and replace(info, fingerprint=training.fingerprint)
    return replace(result, config=config, budget=budget, data_info=info)


def by_limits(result: Result) -> Result:
    """A record whose epochs and steps are what the config allows, as a checkpoint tells them.

    So the lengths of trainings and of evaluated checkpoints can be compared.
    """
    epochs, steps = _limits(result.trained_config)
    return replace(result, budget=replace(result.budget, epochs=epochs, steps=steps))


def _limits(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Epochs and steps that a config allows; None = no limit."""
    trainer = mapping_at(config, "trainer")
    limits = (_of_kind(int, trainer.get(key)) for key in ("max_epochs", "max_steps"))
    epochs, steps = (None if limit is None or limit < 0 else limit for limit in limits)
    return epochs, steps


def data_used(result: Result) -> list[tuple[Mapping[str, Any], str]]:
    """Config and dotted name of the data that were scored, and of those trained on, if others."""
    found = [(mapping_at(result.config, "data"), result.data)]
    if result.training is not None:
        trained = mapping_at(result.training.config, "data")
        target = str(trained.get("_target_") or result.data)
        if target != result.data or trained.get("about") != found[0][0].get("about"):
            found.append((trained, target))
    return found


def is_unknown(name: str, result: Result) -> bool:
    """Whether a property of the training of an evaluated checkpoint is not known.

    Args:
        name: of the property, see `differences.RULES`.
        result: the record of the evaluation, or of a training, of which all is known.
    """
    training = result.training
    if training is None:
        return False
    if name in _OF_TRAININGS_ONLY:
        return True
    if name == "training data":
        return not training.fingerprint
    if name == "precision":
        return result.protocol is None or result.protocol.precision is None
    return name in _OF_DEVICES and training.devices is None


def _of_kind(kind: type, value: Any) -> Any:
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    return value if is_number and float(value) >= 0 else None


def _product(*values: Any) -> int | None:
    return math.prod(values) if all(type(value) is int for value in values) else None


def weights_digest(path: Path) -> str:
    """The hash of a checkpoint, or of a folder with one, by which a record knows its weights."""
    from segbench.data.fingerprint import file_digest

    if path.is_file():
        return file_digest(path)[:32]
    parts = [
        f"{each.name} {file_digest(each)}" for each in sorted(path.iterdir()) if each.is_file()
    ]
    return hashlib.blake2b("\n".join(parts).encode()).hexdigest()[:32]


def weights_source(config: Mapping[str, Any]) -> str | None:
    """The file or folder that a training starts from, if its config names one; or a hub name."""
    given = config.get("weights") or mapping_at(config, "model").get("path")
    return given if isinstance(given, str) else None
