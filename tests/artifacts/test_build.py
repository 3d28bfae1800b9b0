"""Components built from configs, and the errors if one does not fit."""

from __future__ import annotations

import pytest

from segbench.artifacts import build
from segbench.artifacts.build_loss import build_loss, class_weight_names
from segbench.artifacts.offline import offline
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError, DataError

UNET = {"_target_": "segbench.models.unet.UNet", "width": 2, "depth": 1, "dropout": 0.0}
CE = {"_target_": "segbench.losses.cross_entropy.CrossEntropy", "class_weights": None}
CLASSES = ClassSet(names=("a", "b", "c"), colors=((1, 0, 0), (2, 0, 0), (3, 0, 0)))


def missing() -> None:
    """A target that needs a package that is not installed."""
    raise ModuleNotFoundError("No module named 'no_such_package'")


def test_a_missing_package_is_reported_without_a_traceback() -> None:
    with pytest.raises(ConfigError, match=r"logger.mine: No module named 'no_such_package'"):
        build.instantiate("logger.mine", {"_target_": f"{__name__}.missing"})


def test_pretrained_weights_are_not_looked_for_when_a_checkpoint_is_loaded() -> None:
    node = {"_target_": "x", "encoder_weights": "imagenet", "depth": 2}
    assert offline(node) == {"_target_": "x", "encoder_weights": None, "depth": 2}


def test_an_unknown_argument_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"UNet: got an unexpected keyword argument 'widht'"):
        build.build_model({**UNET, "widht": 3}, 3)


def test_a_value_that_a_constructor_refuses_is_explained() -> None:
    with pytest.raises(ConfigError, match="model: width must be a positive multiple of 4, got 6"):
        build.build_model({"_target_": "segbench.models.custom.Custom", "width": 6}, 3)


def test_targets_that_do_not_exist_are_explained() -> None:
    with pytest.raises(ConfigError, match="has no 'Unet'; did you mean 'UNet'"):
        build.build_model({"_target_": "segbench.models.unet.Unet"}, 3)
    with pytest.raises(ConfigError, match=r"cannot import 'segbench\.models\.nix'"):
        build.build_model({"_target_": "segbench.models.nix.Net"}, 3)
    with pytest.raises(ConfigError, match="'UNet' is not a dotted path"):
        build.build_model({"_target_": "UNet"}, 3)


def test_an_auxiliary_loss_is_not_subtracted() -> None:
    node = {"_target_": "segbench.models.custom.Custom", "aux_weight": -0.4}
    with pytest.raises(ConfigError, match=r"model.aux_weight: must be at least 0, got -0\.4"):
        build.build_model(node, 3)


def test_a_model_must_be_a_module() -> None:
    with pytest.raises(ConfigError, match=r"does not build a torch\.nn\.Module"):
        build.build_model({"_target_": f"{__name__}._no_module"}, 3)


def _no_module(num_classes: int) -> str:
    return "a string"


def test_the_data_set_gives_num_classes_and_ignore_index() -> None:
    assert build.build_model(UNET, 5).head.out_channels == 5
    both = {
        "_target_": "segbench.losses.weighted_sum.WeightedSum",
        "losses": {"ce": CE, "dice": {"_target_": "segbench.losses.overlap.Dice"}},
        "weights": {"ce": 1.0, "dice": 2.0},
    }
    loss = build_loss(both, CLASSES, {})
    parts = [m for m in loss.modules() if hasattr(m, "ignore_index") and m is not loss]
    assert len(parts) == 2
    assert all(part.ignore_index == 255 for part in parts)


def test_class_weights_by_name_are_filled_in() -> None:
    node = {**CE, "class_weights": "enet"}
    nested = {"_target_": "x", "losses": {"one": node, "two": {**CE, "class_weights": [1.0]}}}
    assert class_weight_names(nested) == {"enet"}
    loss = build_loss(node, CLASSES, {"enet": [1.0, 2.0, 3.0]})
    assert loss.class_weights.tolist() == [1.0, 2.0, 3.0]


def test_class_weights_of_another_number_of_classes_are_refused_before_training() -> None:
    both = {"_target_": "x", "losses": {"ce": {**CE, "class_weights": [1.0, 2.0]}}}
    message = r"loss.losses.ce.class_weights: 2 weights for 3 classes; .* order a, b, c"
    with pytest.raises(ConfigError, match=message):
        build_loss(both, CLASSES, {})


def test_a_data_set_of_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="one class"):
        build.check_num_classes(ClassSet(names=("a",), colors=((1, 0, 0),)))


def test_precision_on_a_machine_without_a_gpu() -> None:
    assert build.resolve_precision("auto", "cpu") == "32-true"
    assert build.resolve_precision("bf16-mixed", "cpu") == "bf16-mixed"


@pytest.mark.parametrize(
    ("target", "key", "value", "expected"),
    [
        ("pidnet.PIDNet", "width", 0, "at least 1, got 0"),
        ("ddrnet.DDRNet", "width", -1, "at least 1, got -1"),
        ("pidnet.PIDNet", "boundary_weight", -1.0, r"at least 0, got -1\.0"),
        ("segnext.SegNeXt", "depths", [3, 3, 0, 2], r"at least 1, got \[3, 3, 0, 2\]"),
        ("segnext.SegNeXt", "drop_path_rate", 2, "between 0 and 1, got 2"),
        ("mask2former.Mask2Former", "decoder_layers", 0, "at least 1, got 0"),
        ("eomt.EoMT", "patch_size", 0, "at least 1, got 0"),
        ("smp_transformers.segformer", "drop_path_rate", 1.2, r"between 0 and 1, got 1\.2"),
        ("upernet.UPerNet", "decoder_width", -8, "at least 1, got -8"),
        ("vit_linear.ViTLinear", "drop_path_rate", -0.1, r"between 0 and 1, got -0\.1"),
        ("bisenetv2.BiSeNetV2", "dropout", 1.5, r"between 0 and 1, got 1\.5"),
    ],
)
def test_arguments_out_of_range_are_named(
    target: str, key: str, value: object, expected: str
) -> None:
    node = {"_target_": f"segbench.models.{target}", key: value}
    with pytest.raises(ConfigError, match=rf"model\.{key}: must be {expected}"):
        build.build_model(node, 3)
