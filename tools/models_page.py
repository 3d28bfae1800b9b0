"""Writes docs/models.md: what is published about each model, and what it costs here.

python tools/models_page.py           what `make models` does; takes minutes
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf

from segbench.artifacts.build import build_model
from segbench.config import config_dir
from segbench.config.places import complete_models
from segbench.cost.profiling import count_macs
from segbench.errors import ConfigError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"
FACTS = Path(__file__).with_name("models.yaml")
SIZES = ((1024, 2048), (512, 512))
CITYSCAPES = 19  # classes
INTRODUCTION = """# Models

<!-- Written by tools/models_page.py from tools/models.yaml; change it there, then: make models -->

`model=NAME` trains any of these. Parameters and multiply-accumulates (MACs) are counted here: with
19 classes, without auxiliary heads. The published values are those of the papers, most of which
call MACs "FLOPs"; they are counted by other programs and for other numbers of classes. Scores are
published by others under the conditions given, for orientation; none was measured by segbench.
"""
HEAD = """| `model=` | params, M | published | GMACs at 1024x2048 | at 512x512 | published |
|---|---:|---:|---:|---:|---|"""


def page() -> str:
    """The text of docs/models.md."""
    facts = published()
    counted = {name: count(name) for name in facts}
    lines = [INTRODUCTION, HEAD]
    lines += [row(name, facts[name], counted[name]) for name in facts]
    lines += [
        "",
        "Published checkpoints of transformers take part by `model=hf model.path=FOLDER_OR_NAME` "
        "(extra `hf`).",
    ]
    lines += [section(name, facts[name]) for name in facts]
    return "\n".join(lines) + "\n"


def published() -> dict[str, dict[str, Any]]:
    """The facts of every model of conf/model, by name.

    Raises:
        SystemExit: a model has none, or facts have no model.
    """
    facts = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    facts = {name: fact for name, fact in facts.items() if not name.startswith("_")}
    if difference := set(facts) ^ set(complete_models()):
        raise SystemExit(f"{FACTS.name} and conf/model differ in {', '.join(sorted(difference))}")
    return dict(sorted(facts.items()))


def count(name: str) -> tuple[float, list[float]]:
    """Millions of parameters and GMACs at each size; on the meta device nothing is computed."""
    node: Any = OmegaConf.to_container(
        OmegaConf.load(config_dir() / "model" / f"{name}.yaml"), resolve=True
    )
    try:  # without filling weights
        with torch.device("meta"):
            model = build_model(node, CITYSCAPES).eval()
    except (ConfigError, RuntimeError, NotImplementedError):  # some compute while they are built
        model = build_model(node, CITYSCAPES).eval().to("meta")
    aux = getattr(model, "aux_head", None)
    params = sum(p.numel() for p in model.parameters())
    params -= sum(p.numel() for p in aux.parameters()) if aux is not None else 0
    if hasattr(model, "set_progress"):
        model.set_progress(1.0)  # as at the end of a training
    return params / 1e6, [count_macs(model, size) / 1e9 for size in SIZES]


def row(name: str, fact: dict[str, Any], counted: tuple[float, list[float]]) -> str:
    """A row of the table."""
    params, macs = counted
    cells = [
        f"[`{name}`](#{name})",
        f"{params:.1f}",
        str(fact.get("params", "")),
        *(f"{value:.1f}" for value in macs),
        str(fact.get("macs", "")),
    ]
    return f"| {' | '.join(cells)} |"


def section(name: str, fact: dict[str, Any]) -> str:
    """What is known about one model."""
    lines = [f"\n## {name}\n", f"- Paper: {fact['paper']}"]
    lines.append(f"- Reference weights: {fact['license']}")
    lines.append(f"- Verified: {fact['verified']}")
    lines += [f"- Know that: {fact['note']}"] if "note" in fact else []
    scores = fact.get("scores", [])
    lines += [f"- Published: {score}" for score in scores]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
