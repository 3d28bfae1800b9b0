"""The typed top level of `conf/train.yaml`: every key, its type, its default, what it means.

Hydra refuses unknown keys and wrong types with the help of this class. What stands below a config
group (`model`, `data`, ...) is checked against the signature of its `_target_` instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


def choice(*options: str) -> Any:
    """A string field that must be one of `options`; the first is the default."""
    return field(default=options[0], metadata={"choices": options})


@dataclass
class TrainConfig:
    """Everything that `python -m segbench.train` understands at the top level."""

    # What and where
    study: str = "default"
    name: str = MISSING
    seed: int = 0
    run_dir: str = MISSING
    # auto: continue an unfinished run of the same config; never: refuse to touch one
    resume: str = choice("auto", "never")
    overwrite: bool = False

    # The parts, one config group each
    data: Any = MISSING
    model: Any = MISSING
    loss: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    inference: Any = MISSING

    # How
    weights: str | None = None
    # auto: bf16 where the GPU has it, fp16 with loss scaling on an older one, 32 bit on CPU
    precision: str = choice("auto", "32-true", "bf16-mixed", "16-mixed")
    deterministic: bool = False
    channels_last: bool = True
    compile: bool = False
    ema: float | None = None
    # which weights are tested: those with the best val/mIoU, or the last
    selection: str = choice("best", "last")
    early_stopping: int | None = None
    tuning_trials: int = 0

    # What to show
    samples: int = 4
    samples_every: int = 1
    log_every: int = 20

    # Modules of yours that a config may name in a `_target_`, besides segbench and its libraries
    allow_targets: list[str] = field(default_factory=list)


SCHEMAS = {"train": TrainConfig}


def register() -> None:
    """Makes every verb's schema known to Hydra as `VERB_schema`."""
    for verb, schema in SCHEMAS.items():
        ConfigStore.instance().store(f"{verb}_schema", schema)


def wrong_choices(config: Mapping[str, Any], schema: type) -> list[str]:
    """One sentence for each key whose value is none of the options of its `choice`."""
    problems = []
    for entry in fields(schema):
        options = entry.metadata.get("choices", ())
        if options and config.get(entry.name) not in options:
            value = config.get(entry.name)
            problems.append(f"{entry.name}: '{value}' is not one of {', '.join(options)}")
    return problems
