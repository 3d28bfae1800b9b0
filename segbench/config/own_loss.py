"""Models that bring their own loss: they take it by themselves, and refuse any other.

A loss that is in the config but is not what the model is trained with would make a wrong record.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segbench.config import config_dir
from segbench.config.signatures import has_method
from segbench.errors import UnknownTargetError

OWN = "segbench.losses.own.OwnLoss"
DEFAULT = "ce_dice"  # of conf/train.yaml


def settle_loss(config: DictConfig, arguments: Sequence[str]) -> list[str]:
    """Puts the model's own loss in the place of the default one; returns problems.

    Args:
        config: a composed config; changed in place.
        arguments: of the command line.
    """
    try:
        model = OmegaConf.select(config, "model._target_")
        loss = OmegaConf.to_container(OmegaConf.select(config, "loss"), resolve=True)
    except (OmegaConfBaseException, ValueError):
        return []  # no training, or reported elsewhere
    if not isinstance(model, str) or not isinstance(loss, dict):
        return []
    try:
        brings_own = has_method(model, "training_loss")
    except UnknownTargetError:
        return []
    name = config.hydra.runtime.choices.get("model") or model
    is_own = loss.get("_target_") == OWN
    if not brings_own:
        return [f"loss=own: model={name} brings no loss of its own; choose another loss"] * is_own
    if is_own:
        return []
    typed = [a for a in arguments if a.lstrip("+~").startswith(("loss=", "loss.", "loss@"))]
    default = yaml.safe_load((config_dir() / "loss" / f"{DEFAULT}.yaml").read_text("utf-8"))
    if typed or loss != default:
        chosen = typed[0] if typed else f"loss {config.hydra.runtime.choices.get('loss')}"
        return [
            f"{chosen}: model={name} is trained with its own loss, this one would be ignored; "
            "leave the loss out, or set loss=own"
        ]
    OmegaConf.update(config, "loss", {"_target_": OWN}, merge=False, force_add=True)
    return []
