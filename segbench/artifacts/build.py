"""Builds the components of a run from its config."""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from segbench.config import Config, did_you_mean
from segbench.config.targets import OF_EVERY_MODEL
from segbench.data.bands import RGB
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError, DataError
from segbench.models.options import apply_options, wrong_arguments

if TYPE_CHECKING:
    from segbench.data.datamodule import SegmentationData
    from segbench.data.dataset import Source
    from segbench.inference.predictor import Predictor
    from segbench.models.weights import LoadReport

FOLDS = ("folds", "fold")  # keys of any data set, see `data.folds`


def instantiate(section: str, node: Mapping[str, Any], **injected: Any) -> Any:
    """Calls the `_target_` of a config node with its other keys and the injected arguments.

    Nested nodes with a `_target_` are built first. An injected argument is passed to every target
    that has a parameter of that name, and to the outermost target also if it takes `**kwargs`.

    Args:
        section: the key of the node, for error messages.
        node: the config node.
        injected: arguments that no config sets.

    Raises:
        ConfigError: the target cannot be imported, does not take an argument, or rejects a value.
    """
    return _instantiate(section, node, injected, outermost=True)


def _instantiate(
    path: str, node: Mapping[str, Any], injected: Mapping[str, Any], outermost: bool
) -> Any:
    target = str(node["_target_"])
    factory = locate(target)
    signature = inspect.signature(factory)
    arguments = {
        str(key): _instantiate_nested(f"{path}.{key}", value, injected)
        for key, value in node.items()
        if key != "_target_"
    }
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    has_own_init = getattr(factory, "__init__", None) is not nn.Module.__init__
    takes_all = outermost and inspect.Parameter.VAR_KEYWORD in kinds and has_own_init
    arguments |= {k: v for k, v in injected.items() if takes_all or k in signature.parameters}
    if path.split(".")[0] == "loss" and _takes_two_more(factory, signature, arguments):
        return functools.partial(factory, **arguments)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{path}: {target}: {error}; its arguments are {signature}") from None
    try:
        return factory(**arguments)
    except (ValueError, TypeError, ImportError, Warning) as error:  # ImportError: an extra
        raise ConfigError(f"{path}: {error}") from error
    except (OSError, MemoryError):
        raise
    except Exception as error:
        if target.startswith("segbench.") or hasattr(error, "exit_code"):
            raise
        told = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path}: {target} could not be built: {told}") from error


def _takes_two_more(
    factory: Any, signature: inspect.Signature, arguments: Mapping[str, Any]
) -> bool:
    """Whether this is a function that still wants logits and mask: a loss itself."""
    if not inspect.isroutine(factory):
        return False
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [p for p in signature.parameters.values() if p.kind in named]
    wanted = [p for p in parameters if p.default is p.empty and p.name not in arguments]
    return len(wanted) > 1


def _instantiate_nested(path: str, value: Any, injected: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return _instantiate(path, value, injected, outermost=False)
        return {k: _instantiate_nested(f"{path}.{k}", v, injected) for k, v in value.items()}
    if isinstance(value, list):
        return [_instantiate_nested(f"{path}[{i}]", v, injected) for i, v in enumerate(value)]
    return value


def locate(target: str) -> Any:
    """Imports a dotted name."""
    module_name, _, name = target.rpartition(".")
    if not module_name:
        raise ConfigError(f"_target_ '{target}' is not a dotted path like package.module.Class")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # code of a user fails in any way
        why = error if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ConfigError(f"_target_ {target}: cannot import '{module_name}' ({why})") from error
    if not hasattr(module, name):
        hint = did_you_mean(name, [entry for entry in vars(module) if entry[0] != "_"])
        raise ConfigError(f"_target_ {target}: '{module_name}' has no '{name}'{hint}")
    return getattr(module, name)


def split_data(data: Mapping[str, Any]) -> tuple[Config, Config]:
    """Splits a `data` config into the nodes of its source and its loaders, `SegmentationData`.

    A key that both take belongs to the source, and so do those of cross-validation. Each half can
    be passed to its build function.
    """
    of_source = inspect.signature(locate(str(data["_target_"]))).parameters
    source = {k: v for k, v in data.items() if k in ("_target_", *FOLDS) or k in of_source}
    return source, {k: v for k, v in data.items() if k not in source}


def build_source(data: Mapping[str, Any]) -> Source:
    """The data source of a `data` config; with `folds`, one fold of it.

    Raises:
        ConfigError: it rejects its arguments, or its classes are inconsistent.
    """
    node = split_data(data)[0]
    folds, fold = node.pop("folds", None), node.pop("fold", 0)
    source: Source = instantiate("data", node)
    if folds is not None:
        from segbench.data.folds import Folds

        source = Folds(source, folds, fold)
    try:
        source.classes  # noqa: B018  (made when it is asked for)
    except ValueError as error:
        raise ConfigError(f"data: {error}") from None
    except DataError:
        pass  # errors in files are reported where the files are read
    return source


def build_datamodule(
    data: Mapping[str, Any],
    source: Source,
    seed: int,
    augment: Mapping[str, Mapping[str, Any]] | None = None,
) -> SegmentationData:
    """Builds the loaders of a `data` config for its source.

    Args:
        data: the config.
        source: the source built from it.
        seed: seed of the run.
        augment: further transforms of the training images by name, as config nodes.
    """
    from segbench.data.datamodule import SegmentationData

    further = {}
    for name, node in (augment or {}).items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # albumentations only warns of an unknown argument
            further[name] = instantiate(f"augment.{name}", node)
    try:
        loaders = split_data(data)[1] if "_target_" in data else data
        return SegmentationData(source=source, seed=seed, augment=further, **loaders)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"data: {error}") from error


def of_channels(in_channels: int) -> Config:
    """The `in_channels` argument of a model; none for three, the default of every model."""
    return {"in_channels": in_channels} if in_channels != RGB else {}


def build_model(
    node: Mapping[str, Any],
    num_classes: int,
    in_channels: int = RGB,
    class_names: Sequence[str] | None = None,
) -> nn.Module:
    """Builds the model, with random weights unless its config names pretrained ones.

    Raises:
        ConfigError: it cannot be built, or does not accept this number of channels.
    """
    target = str(node["_target_"])
    if in_channels != RGB and not _takes_channels(target):
        raise ConfigError(
            f"model: the images have {in_channels} channels (data.channels), but {target} has no "
            "argument in_channels; add one, or select three bands: data.channels=[0,1,2]"
        )
    own = {key: value for key, value in node.items() if key not in OF_EVERY_MODEL}
    if problems := wrong_arguments(target, own):
        raise ConfigError("\n".join(problems))
    given = _classes_argument(node, num_classes) | of_channels(in_channels)
    if "class_names" in inspect.signature(locate(target)).parameters:
        given["class_names"] = class_names
    model = instantiate("model", own, **given)
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model._target_ {node['_target_']} does not build a torch.nn.Module")
    try:
        apply_options(model, node.get("freeze"), bool(node.get("checkpoint_activations")))
    except ValueError as error:
        raise ConfigError(f"model.{error}") from None
    return model


def _takes_channels(target: str) -> bool:
    parameters = inspect.signature(locate(target)).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    return "in_channels" in parameters or inspect.Parameter.VAR_KEYWORD in kinds


def _classes_argument(node: Mapping[str, Any], num_classes: int) -> Config:
    """The number of classes, under the name by which a model takes it: smp's is `classes`."""
    parameters = inspect.signature(locate(str(node["_target_"]))).parameters
    is_number = "classes" in parameters and type(parameters["classes"].default) is int
    if "num_classes" in parameters or not is_number:
        return {"num_classes": num_classes}
    return {} if "classes" in node else {"classes": num_classes}


def build_predictor(
    node: Mapping[str, Any], model: nn.Module, classes: ClassSet, data: SegmentationData
) -> Predictor:
    """Builds the predictor, which turns the logits of a model into label maps."""
    given = {"model": model, "classes": classes, "mean": data.mean, "std": data.std}
    limits = data.bands.limits
    predictor: Predictor = instantiate("inference", node, value_range=limits, **given)
    return predictor


def build_optimizer(node: Mapping[str, Any], model: nn.Module, is_clipped: bool) -> Optimizer:
    """Builds an optimizer: one of `training.optim` gets the model, one of torch its parameters.

    Not fused if gradients are clipped: Lightning refuses this combination under mixed precision.
    """
    takes_params = "params" in inspect.signature(locate(str(node["_target_"]))).parameters
    given: Config = {"params": model.parameters()} if takes_params else {"model": model}
    given |= {"fused": False} if is_clipped else {}
    optimizer: Optimizer = instantiate("optimizer", node, **given)
    return optimizer


def build_scheduler(
    node: Mapping[str, Any], optimizer: Optimizer, total_steps: int
) -> LRScheduler | ReduceLROnPlateau:
    """Builds the learning-rate schedule for a training of `total_steps` steps."""
    given = {"optimizer": optimizer, "total_steps": total_steps}
    scheduler: LRScheduler | ReduceLROnPlateau = instantiate("scheduler", node, **given)
    return scheduler


def start_from(model: nn.Module, weights: str) -> LoadReport:
    """Loads weights into a model; returns a message that lists which ones fit.

    Raises:
        ConfigError: they cannot be read, or belong to another model.
    """
    from segbench.models.weights import load_weights

    try:
        return load_weights(model, weights)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def on_cpu(accelerator: str) -> bool:
    """Whether `trainer.accelerator` means the CPU on this machine."""
    return accelerator == "cpu" or not torch.cuda.is_available()


def resolve_precision(precision: str, accelerator: str) -> str:
    """Resolves `precision: auto` for this machine; returns Lightning's name of the precision."""
    if precision != "auto":
        return precision
    if on_cpu(accelerator):
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def check_num_classes(classes: ClassSet) -> None:
    """Raises DataError if there are fewer than two classes."""
    if classes.num_classes < 2:
        raise DataError(
            f"the data set has one class ({classes.names[0]}); add the background as a class"
        )
