"""Tuning sweepers: Hydra's Optuna sweeper searches the values of one model by its val score."""

from __future__ import annotations

import subprocess
import sys

from omegaconf import DictConfig

from segbench.system.console import say


def is_tuning(config: DictConfig) -> bool:
    """Whether the sweeper chooses its jobs by their scores.

    Args:
        config: the config, with Hydra's own node.
    """
    return not str(config.hydra.sweeper._target_).endswith("BasicSweeper")


def tuning_problems(config: DictConfig, overrides: list[str]) -> list[str]:
    """Settings that would make a tuning select by chance, or select the worst values.

    Args:
        config: the config, with Hydra's own node.
        overrides: overrides of the command line.
    """
    problems = []
    direction = str(config.hydra.sweeper.get("direction", "maximize")).rpartition(".")[2]
    if direction != "maximize":
        problems.append(
            f"hydra.sweeper.direction: is {direction}, but trials return val/mIoU; set it to "
            "maximize"
        )
    if len(_swept("seed", config, overrides)) > 1:
        problems.append("seed: tuning over seeds would select the luckiest one; set a single seed")
    return problems


def swept_models(config: DictConfig, overrides: list[str]) -> list[str]:
    """The models of a tuning, which `tune_each` tunes one by one."""
    return _swept("model", config, overrides)


def tune_each(module: str, models: list[str], arguments: list[str]) -> int:
    """Runs one tuning per model, so that every model gets the full number of trials.

    Args:
        module: module of the verb, as in `python -m MODULE`.
        models: options of the group `model`.
        arguments: arguments of the command line.

    Returns:
        The highest exit code.
    """
    others = [text for text in arguments if not text.startswith("model=")]
    codes = []
    for number, model in enumerate(models, start=1):
        say(f"\n[tuning {number} of {len(models)}] model={model}")
        command = [sys.executable, "-m", module, *others, f"model={model}"]
        codes.append(subprocess.run(command, check=False).returncode)
    return max(abs(code) for code in codes)


def swept_values(config: DictConfig, overrides: list[str]) -> dict[str, list[str]]:
    """The values of each swept key, from the study or the command line, which takes precedence.

    An interval, from which a sweeper draws, has no list of values and is left out.

    Args:
        config: the config, with Hydra's own node.
        overrides: overrides in Hydra's grammar.
    """
    from segbench.config.overrides import parse

    params = config.hydra.sweeper.get("params") or {}
    lines = [*(f"{name}={value}" for name, value in params.items()), *overrides]
    values: dict[str, list[str]] = {}
    for override in parse(lines)[0]:
        found: list[str] = []
        if override.is_discrete_sweep():
            found = [str(value) for value in override.sweep_string_iterator()]
        elif not override.is_sweep_override():
            found = [override.get_value_element_as_str()]
        values[override.get_key_element()] = found
    return values


def _swept(key: str, config: DictConfig, overrides: list[str]) -> list[str]:
    return swept_values(config, overrides).get(key, [])
