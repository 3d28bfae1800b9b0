"""Generates docs/models.md from conf/model, tools/models.yaml and the measured cost.

python tools/models_page.py             as `make models` does
python tools/models_page.py --measure   measures the cost of all models first, in minutes

The cost is counted, not timed, on tensors without values, so that no size needs memory.
"""

from __future__ import annotations

import argparse
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

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "models.md"
FACTS = Path(__file__).with_name("models.yaml")
COSTS = Path(__file__).with_name("model_costs.yaml")
Unknown = Literal["not published", "not known"]
INTRODUCTION = """# Models

<!-- Written by tools/models_page.py from conf/model, tools/models.yaml and tools/model_costs.yaml;
change them there, then: make models (ARGS=--measure counts the cost again) -->

`model=NAME` trains any of these; `model=hf model.path=FOLDER_OR_NAME` any model for semantic
segmentation of transformers. To choose one, see [which-model.md](which-model.md).

Cost was counted by segbench, for all models in the same way. Everything called published comes
from the sources at the end of this page; segbench measured none of the published scores. *Not
published*: the source does not give it for this model. *Not known*: we read no source that does.

All models pass the same tests: any image size, batches of one, bf16, saving and loading
(`tests/models/test_models.py`), overfitting four images (`tests/models/test_overfit.py`), heat
maps, embeddings, drawing, ONNX with the same predictions (`tests/test_every_model.py`). What else
was verified is stated for each model. Drawings are in `docs/architectures`.

## Cost

Parameters with 19 classes and, after the +, those of the auxiliary heads, which only train. MACs
(multiply-accumulates, half the FLOPs) of one image in evaluation mode, with 19 classes at 1024x2048
and 150 classes at 512x512, as for Cityscapes and ADE20K. Matrix products and convolutions are
counted; norms, activations and resizing are not.

"""
COLUMNS = (
    "model", "year", "params (M)", "published", "GMACs, 1024x2048", "published",
    "GMACs, 512x512", "published",
)  # fmt: skip


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


def page(facts: Facts, costs: Costs) -> str:
    """The text of docs/models.md."""
    rows = [
        _row(name, family.year, published, costs[name])
        for family in facts.families
        for name, published in family.models.items()
    ]
    sections = [_section(family, costs) for family in facts.families]
    sources = "\n".join(f"- {name}: {text}" for name, text in facts.sources.items())
    head = f"| {' | '.join(COLUMNS)} |\n|---|---|{'---:|' * (len(COLUMNS) - 2)}"
    return "\n".join(
        [INTRODUCTION + "\n".join([head, *rows]), *sections, f"\n## Sources\n\n{sources}\n"]
    )


def _row(name: str, year: int, published: Published, cost: dict[str, int]) -> str:
    params, extra = cost[PARAMS.key], cost[WITH_AUX.key] - cost[PARAMS.key]
    cells = [name, str(year), _millions(params) + (f" + {_millions(extra)}" if extra else "")]
    cells.append(_first(published.params, None))
    for number in SIZES:
        cells += [_billions(cost[number.key]), _first(published.macs, number.size)]
    return f"| {' | '.join(cells)} |"


def _first(numbers: str | list[Number], size: tuple[int, int] | None) -> str:
    """The first published number for a size; if there are only others, a hint."""
    if isinstance(numbers, str):
        return numbers
    fitting = [number for number in numbers if number.size == size]
    return _stated(fitting[0]) if fitting else "for another size"


def _stated(number: Number) -> str:
    return f"{number.giga if number.size else number.millions:,.4g}"


def _millions(params: int) -> str:
    return f"{params / 1e6:.2f}"


def _billions(macs: int) -> str:
    return f"{macs / 1e9:,.1f}"


def _section(family: Family, costs: Costs) -> str:
    parts = [
        f"\n## {family.title}",
        f"{family.paper}.",
        f"License of the reference weights: {family.license}.",
        "Verified:\n\n" + "\n".join(f"- {_verified(line)}" for line in family.verified),
        "\n".join(f"- {note}" for note in family.notes),
        _scores(family),
        _numbers(family, costs),
    ]
    return "\n\n".join(part for part in parts if part)


def _verified(line: str) -> str:
    test, _, what = line.partition(" ")
    return f"{what} (`{test}`)"


def _scores(family: Family) -> str:
    rows, missing = [], []
    for name, published in family.models.items():
        if isinstance(published.scores, str):
            missing.append(f"`{name}`: {published.scores}")
            continue
        for score in published.scores:
            cells = [name, score.data, f"{score.miou:.4g}", score.conditions, score.source]
            rows.append(f"| {' | '.join(cells)} |")
    head = "| model | data | mIoU (%) | conditions | source |\n|---|---|---:|---|---|"
    table = "\n".join(["Published scores:", "", head, *rows]) if rows else ""
    others = f"Published scores of {', '.join(missing)}." if missing else ""
    return "\n\n".join(part for part in (table, others) if part)


def _numbers(family: Family, costs: Costs) -> str:
    """Published numbers beside those counted here under the same conditions."""
    rows = []
    for name, published in family.models.items():
        for group in (published.params, published.macs):
            for number in [] if isinstance(group, str) else group:
                found = costs[name][number.key]
                unit, here = ("G", _billions(found)) if number.size else ("M", _millions(found))
                what = number.key.replace("macs", "MACs at").replace(
                    ", aux", ", auxiliary heads too"
                )
                cells = [name, what, f"{_stated(number)} {unit}", f"{here} {unit}"]
                rows.append(f"| {' | '.join([*cells, number.source])} |")
    head = "| model | | published | here | source |\n|---|---|---:|---:|---|"
    return "\n".join(["Published cost:", "", head, *rows]) if rows else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", help="count the cost of all models")
    facts = read_facts()
    if parser.parse_args().measure:
        costs = {}
        for name, published in facts.published().items():
            print(name, flush=True)
            costs[name] = measure(name, published)
        head = "# Counted by tools/models_page.py --measure; do not edit.\n"
        COSTS.write_text(head + yaml.safe_dump(costs, sort_keys=False), encoding="utf-8")
    PAGE.write_text(page(facts, read_costs()), encoding="utf-8")


if __name__ == "__main__":
    main()
