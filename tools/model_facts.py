"""What is published about each model (tools/models.yaml), and what it costs, counted here.

The cost is counted, not timed, on tensors without values, so that no size needs memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from omegaconf import OmegaConf
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from segbench.artifacts.build import build_model
from segbench.config import config_dir
from segbench.cost.profiling import count_macs, count_params

FACTS = Path(__file__).with_name("models.yaml")
COSTS = Path(__file__).with_name("model_costs.yaml")
Unknown = Literal["not published", "not known"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Number:
    """A published number of parameters, in millions, or of MACs, in billions.

    Args:
        classes: number of classes it was published for.
        source: a key of `Facts.sources`.
        size: `(H, W)` of the image, for MACs.
        aux: whether the auxiliary heads are counted.
    """

    classes: int
    source: str
    millions: float | None = None
    giga: float | None = None
    size: tuple[int, int] | None = None
    aux: bool = False

    @property
    def key(self) -> str:
        """Name of the measured number to compare with."""
        height, width = self.size or (0, 0)
        kind = f"macs {height}x{width}" if self.size else "params"
        return f"{kind}, {self.classes} classes" + (", aux" if self.aux else "")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Score:
    """A published mIoU in percent, and how it came about."""

    data: str
    miou: float
    conditions: str
    source: str


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Published:
    """What others published about one model; at least one of each, or why there is none."""

    params: Unknown | Annotated[list[Number], Field(min_length=1)]
    macs: Unknown | Annotated[list[Number], Field(min_length=1)]
    scores: Unknown | Annotated[list[Score], Field(min_length=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Family:
    """Models of the same paper.

    Args:
        title: heading of the section.
        paper: authors, title, place.
        year: of the first publication.
        license: of the reference weights.
        verified: `FILE::TEST what it shows`.
        models: by name in conf/model.
        notes: sentences, shown as a list.
    """

    title: str
    paper: str
    year: int
    license: str
    verified: Annotated[list[str], Field(min_length=1)]
    models: dict[str, Published]
    notes: list[str] = Field(default_factory=list)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Facts:
    """The content of tools/models.yaml."""

    sources: dict[str, str]
    families: list[Family]

    def published(self) -> dict[str, Published]:
        """All models, in the order of the page."""
        return {name: model for family in self.families for name, model in family.models.items()}


Costs = dict[str, dict[str, int]]
PARAMS, WITH_AUX = Number(classes=19, source=""), Number(classes=19, source="", aux=True)
SIZES = (  # as for Cityscapes and for ADE20K
    Number(classes=19, source="", size=(1024, 2048)),
    Number(classes=150, source="", size=(512, 512)),
)


class _WithAux(nn.Module):
    """Runs a model with its auxiliary heads."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, image: Tensor) -> Any:
        return self.model.forward_with_aux(image)


def read_facts() -> Facts:
    """Reads tools/models.yaml; a key that is missing or unknown is an error that names it."""
    return TypeAdapter(Facts).validate_python(yaml.safe_load(FACTS.read_text(encoding="utf-8")))


def read_costs() -> Costs:
    """Reads what was counted."""
    costs: Costs = yaml.safe_load(COSTS.read_text(encoding="utf-8"))
    return costs


def write_costs(costs: Costs) -> None:
    """Writes what was counted."""
    head = "# Counted by tools/models_page.py --measure; do not edit.\n"
    COSTS.write_text(head + yaml.safe_dump(costs, sort_keys=False), encoding="utf-8")


def measure(name: str, published: Published) -> dict[str, int]:
    """Counts the numbers of the tables for a model, and those that were published for it."""
    numbers = [PARAMS, WITH_AUX, *SIZES]
    for group in (published.params, published.macs):
        numbers += [] if isinstance(group, str) else group
    return {number.key: count(name, number) for number in numbers}


def count(name: str, number: Number) -> int:
    """Parameters of a model of conf/model, or its MACs if a size is given."""
    node: Any = OmegaConf.to_container(OmegaConf.load(config_dir() / "model" / f"{name}.yaml"))
    if "num_queries" in node:  # at least as many as classes
        node["num_queries"] = max(node["num_queries"], number.classes)
    model: Any = build_model(node, number.classes).requires_grad_(False)
    aux = getattr(model, "aux_head", None)
    if number.size:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return count_macs(_WithAux(model) if number.aux and aux else model, number.size)
    return count_params(model) - (count_params(aux) if aux is not None and not number.aux else 0)
