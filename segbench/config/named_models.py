"""The models of conf/model by name, for the verbs that take several: `model=unet,fcn`, or all."""

from __future__ import annotations

from collections.abc import Sequence

from segbench.config import Config, resolved
from segbench.config.places import complete_models, options_of
from segbench.errors import ConfigError


def as_list(argument: str) -> str:
    """`model=a,b` as `models=[a,b]`; Hydra would see one option of a group, or a sweep."""
    key, _, value = argument.partition("=")
    return f"models=[{value.strip('[]')}]" if key == "model" else argument


def training_configs(names: Sequence[str]) -> dict[str, Config]:
    """The resolved training config of each model, by its name.

    Args:
        names: options of the group `model`; `["all"]` means all that need no further key.

    Raises:
        ConfigError: there is no such model.
    """
    from segbench.config.compose import compose_checked
    from segbench.config.messages import unknown_option

    known = options_of("model")
    names = complete_models() if list(names) == ["all"] else names
    if unknown := [str(name) for name in names if name not in known]:
        raise ConfigError("\n".join(unknown_option("model", name, known) for name in unknown))
    return {
        name: resolved(compose_checked("train", [f"model={name}", "logger=csv"])) for name in names
    }
