"""Generates docs/models.md from conf/model, tools/models.yaml and the measured cost.

python -m tools.models_page             as `make models` does
python -m tools.models_page --measure   counts the cost of all models first, in minutes
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.model_facts import (
    PARAMS,
    SIZES,
    WITH_AUX,
    Costs,
    Facts,
    Family,
    Number,
    Published,
    measure,
    read_costs,
    read_facts,
    write_costs,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"
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
        write_costs(costs)
    PAGE.write_text(page(facts, read_costs()), encoding="utf-8")


if __name__ == "__main__":
    main()
