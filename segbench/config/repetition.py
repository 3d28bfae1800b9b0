"""The command of the current run as a sweep: same data and settings, more seeds, another model.

A study needs several seeds. The sweep has the study of the run, so that the run is its first job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig

from segbench.config.command_line import command, key_of
from segbench.config.places import further_folder

SEEDS = 3
_OTHERS = ("unet_resnet18", "unet_resnet34")  # the first one that is not the model itself
_NOT_REPEATED = ("seed", "model", "run_dir", "resume", "overwrite")
# With one of these, another model would not fit, or would be trained in another way.
_OF_ONE_MODEL = ("model.", "weights", "loss", "recipe", "name", "channels_last", "compile")


def sweep_command(config: Mapping[str, Any]) -> str:
    """The command of a sweep that continues the current run.

    Args:
        config: the resolved config of the run.
    """
    hydra = HydraConfig.instance().cfg
    name, overrides, model = "train", [], None
    if hydra is not None:
        job = HydraConfig.get()
        name, overrides = str(job.job.config_name), list(job.overrides.task)
        model = job.runtime.choices.get("model")
    kept = [text for text in overrides if key_of(text) not in _NOT_REPEATED]
    models = [text for text in overrides if key_of(text) == "model"]
    if model and not any(key_of(text).startswith(_OF_ONE_MODEL) for text in kept):
        models = [f"model={model},{next(other for other in _OTHERS if other != model)}"]
    first = int(config.get("seed") or 0)
    seeds = ",".join(str(seed) for seed in range(first, first + SEEDS))
    folder = further_folder()
    flags = [*(["-cn", name] if name != "train" else []), "-m"]
    flags = [*(["--config-dir", str(folder)] if folder else []), *flags]
    return command("segbench.train", {}, [*flags, *models, *kept, f"seed={seeds}"])
