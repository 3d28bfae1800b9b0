"""Published models of transformers as entrants (extra `hf`).

    image -> pad -> a model of transformers -> logits of its labels -> those of the data's classes

Any model for semantic segmentation (SegFormer, UPerNet, DPT, BEiT, ...) and any with queries that
need no text (MaskFormer, Mask2Former). The labels of the model are found by the names of the data's
classes; nothing is guessed. The model's other labels are left out.

Fine-tuning takes the loss of the config, also for models with queries, whose logits are logs of
scores. Our own SegFormer, UPerNet, Mask2Former and EoMT read the same folders by `weights=`, and
train as in their papers.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from segbench.models import hub
from segbench.models.blocks import pad_to_stride, resize
from segbench.models.label_names import match
from segbench.models.query_head import class_scores
from segbench.models.query_loss import Prediction

STRIDE = 32
SHOWN = 3  # weights that a message names
CLASSIFIER = re.compile(
    r"classifier|class_predictor|^criterion\."
)  # depend on the number of labels
OURS = {"eomt": "model=eomt_vit_small or eomt_vit_base with weights=PATH"}
WITH_QUERIES = ("Mask2FormerForUniversalSegmentation", "MaskFormerForInstanceSegmentation")


class PublishedModel(nn.Module):
    """A model of transformers for the classes of a data set.

    Args:
        num_classes: classes of the data.
        path: a folder of transformers, or a hub name that is cached or reachable; null if
            `architecture` is given.
        labels: `match` (labels are found by the names of the classes), `new` (a fresh classifier,
            to be trained), or for each class that has another name its label.
        architecture: config of transformers and the places of the classes among its labels, as a
            checkpoint carries them; weights are then random.
        class_names: names of the classes, in order.

    Raises:
        ImportError: transformers is not installed.
        ValueError: there is no such model, it is of another kind, or labels do not map.
    """

    columns: Tensor

    def __init__(
        self,
        num_classes: int,
        path: str | None = None,
        labels: Literal["match", "new"] | dict[str, str] = "match",
        architecture: dict[str, Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if architecture is not None:
            self.network: Any = from_architecture(architecture)
            columns = list(architecture["columns"])
        elif path is None:
            raise ValueError("path is not set: give a folder of transformers, or a hub name")
        else:
            is_new = labels == "new"
            self.network = pretrained(path, num_classes if is_new else None)
            names = self.network.config.id2label
            given = labels if isinstance(labels, Mapping) else {}
            columns = (
                list(range(num_classes))
                if is_new
                else match(names, class_names, given, num_classes)
            )
        self.head = nn.Identity()  # the logits of all labels pass through it
        self.register_buffer("columns", torch.tensor(columns), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDE)
        found = self.network(padded)
        if hasattr(found, "masks_queries_logits"):
            prediction = Prediction(found.class_queries_logits, found.masks_queries_logits)
            logits = class_scores(prediction, padded, image)
        else:
            logits = resize(found.logits, like=padded)[..., : image.shape[2], : image.shape[3]]
        return self.head(logits)[:, self.columns]

    @property
    def encoder(self) -> nn.Module | None:
        """The backbone, for `freeze=encoder`; None if transformers does not name it."""
        base = self.network.base_model
        return base if base is not self.network else getattr(self.network, "backbone", None)

    def portable(self) -> dict[str, Any]:
        """What a checkpoint needs to build the model without the folder: `architecture`."""
        config = self.network.config.to_dict()
        config["architectures"] = [type(self.network).__name__]
        config["columns"] = self.columns.tolist()
        return {"path": None, "architecture": _plain(config)}


def read_config(path: str) -> Any:
    """The config of a model of transformers in a folder or on the hub.

    Raises:
        ImportError: transformers is not installed.
        ValueError: there is none, or it cannot be read.
    """
    transformers = _transformers()
    if not (Path(path) / "config.json").is_file():
        if path.count("/") != 1 or path.startswith(("/", ".", "~")):
            raise ValueError(
                f"path={path!r}: there is no such folder with a config.json. Expected a folder "
                "that transformers wrote (config.json, model.safetensors), or a hub name "
                "owner/name"
            )
        if problem := hub.problem(path):
            raise ValueError(
                f"path={problem}, or give the folder of a copy (config.json, model.safetensors)"
            )
    with _reading(path):
        return transformers.AutoConfig.from_pretrained(path, trust_remote_code=False)


def state_of(path: str) -> dict[str, Tensor]:
    """The parameters of any model of transformers; raises as `read_config`."""
    config = read_config(path)
    with _reading(path):
        return _kind(config).from_pretrained(path, config=config).state_dict()


def pretrained(path: str, num_labels: int | None = None) -> nn.Module:
    """A model for segmentation from a folder or the hub; runs no code from there.

    Args:
        path: the folder, or a hub name.
        num_labels: of a fresh classifier; None: as in the folder.

    Raises:
        ImportError: transformers is not installed.
        ValueError: there is no such model, it is damaged, or of another kind.
    """
    config = read_config(path)
    if num_labels is not None:
        config.num_labels = num_labels
    with _reading(path):
        model, info = _segments(config).from_pretrained(
            path,
            config=config,
            ignore_mismatched_sizes=num_labels is not None,
            output_loading_info=True,
        )
    fresh = [*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])]
    if num_labels is not None:
        fresh = [key for key in fresh if not CLASSIFIER.search(key)]
    if fresh:
        rest = f" and {len(fresh) - SHOWN} more" if len(fresh) > SHOWN else ""
        raise ValueError(
            f"path={path!r}: the weights lack {', '.join(sorted(fresh)[:SHOWN])}{rest}, which "
            f"{type(model).__name__} needs; they are of another model, or not complete"
        )
    return model


def from_architecture(architecture: Mapping[str, Any]) -> nn.Module:
    """The model of a config of transformers, with random weights.

    Raises:
        ImportError: transformers is not installed.
        ValueError: of another kind.
    """
    values = {key: value for key, value in architecture.items() if key != "columns"}
    with _reading("of the checkpoint"):
        config = _transformers().AutoConfig.for_model(values.pop("model_type"), **values)
        return _segments(config)(config)


def _kind(config: Any) -> Any:
    """The class of a config, which must be one of transformers' own."""
    transformers = _transformers()
    names = config.architectures or []
    kind = getattr(transformers, str(names[0]), None) if names else None
    if not isinstance(kind, type) or not issubclass(kind, transformers.PreTrainedModel):
        raise ValueError(f"its config.json names no model of transformers (architectures={names})")
    return kind


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """Errors of transformers as one short sentence, and no messages or bars of its own."""
    logging = _transformers().utils.logging
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except ImportError:
        raise
    except Exception as error:  # of a damaged file, anything
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"path={path!r}: {reason}") from None
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


def _segments(config: Any) -> Any:
    """The class of a config, which must give a class for each pixel of images of any size.

    Raises:
        ValueError: it does not, or our own one must be taken.
    """
    kind = _kind(config)
    name = kind.__name__
    if config.model_type in OURS:
        raise ValueError(f"{name} takes images of one size only; take {OURS[config.model_type]}")
    if not name.endswith("ForSemanticSegmentation") and name not in WITH_QUERIES:
        raise ValueError(
            f"{name} is no model for semantic segmentation; expected one whose name ends in "
            f"ForSemanticSegmentation, or {' or '.join(WITH_QUERIES)}"
        )
    return kind


def _transformers() -> ModuleType:
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise ImportError(
            "models of transformers need the package transformers: install the extra with "
            "`pip install 'segbench[hf]'`"
        ) from None


def _plain(value: Any) -> Any:
    """A config as plain data: dicts, lists, strings, numbers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
