"""Generates docs/config.md: every config key with its type, default and meaning.

python -m tools.config_page             as `make reference` does
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from segbench.config.schema import SCHEMAS
from segbench.config.targets import OF_EVERY_MODEL
from tools.config_files import GROUPS, Option, options, verb_yaml
from tools.config_keys import (
    Key,
    Target,
    is_published,
    keys_beside,
    pipeline_keys,
    schema_keys,
    shown,
    targets,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "config.md"
INTRODUCTION = """# Configuration

<!-- Written by tools/config_page.py from the schema, conf/ and the docstrings; change it there,
then: make reference -->

Every key that a command accepts. `segbench train ... --cfg job` prints all keys of a command with
the values that it would use.

- `KEY=VALUE` sets a key, `GROUP=OPTION` chooses a file of `conf/GROUP`, your own `./conf/GROUP`
  included.
- A nested key is written with dots: `optimizer.lr=1e-3`, `data.crop_size=[256,256]`.
- `+KEY=VALUE` adds an argument of the class that is not listed here.
- `null` means no value. Text is taken literally.
- With `-m`, commas separate the values of a sweep: `seed=0,1,2`.
- A study in `experiments/` sets the keys of `segbench train`; see
  [Studies](../experiments/README.md).

All mistakes in a command are reported together, with the nearest name that exists.
"""
_OF_GROUP = {
    "data": """The data set, its loading and its augmentation. Every data set has the first keys;
the others are those of its class. Published data sets: [data sets](datasets.md); your own:
[own data](own-data.md).""",
    "model": """`num_classes` and `in_channels` come from the data set. Every model has the first
keys. To choose one, see [choosing a model](which-model.md); your own:
[own model](own-model.md).""",
    "loss": "`ignore_index` comes from the data set. Your own: [own loss](own-loss.md).",
    "optimizer": "Biases and the parameters of norms are never decayed.",
    "scheduler": "The learning rate as a factor of `optimizer.lr`, per step.",
    "trainer": "Arguments of Lightning's Trainer. See [clusters](cluster.md) and [GPU](gpu.md).",
    "logger": "`logger=csv`, or several: `logger=[wandb,csv]`. See [trackers](trackers.md).",
    "callbacks": "None by default; `callbacks=[gradient_norm,lr_monitor]` adds several.",
    "augment": "None by default; `augment=[gamma,elastic]` adds several.",
    "inference": "How a model is applied to an image, in validation, test and prediction.",
    "recipe": "A recipe sets keys of other groups; what the command line sets has priority.",
}


def page() -> str:
    """The text of docs/config.md."""
    parts = [INTRODUCTION, "## Commands"]
    for verb, schema in SCHEMAS.items():
        keys = schema_keys(schema, verb_yaml(verb))
        parts += [f"### segbench {verb}", _table(_with_links(keys))]
    parts.append("## Groups")
    for group in GROUPS:
        parts += [f"### {group}", _OF_GROUP[group], *_group(group)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def undocumented() -> list[str]:
    """The keys that have no meaning."""
    found = [
        f"{verb}: {key.name}"
        for verb, schema in SCHEMAS.items()
        for key in schema_keys(schema, {})
        if not key.meaning and key.name not in GROUPS
    ]
    for group in GROUPS:
        found += [f"{t.name}: {k.name}" for t in targets(group) for k in t.keys if not k.meaning]
    return found + [f"data: {key.name}" for key in pipeline_keys() if not key.meaning]


def _group(group: str) -> Iterator[str]:
    if group == "data":
        yield _table(pipeline_keys())
    if group == "model":
        yield _table(key for key in keys_beside("train", "model") if key.name in OF_EVERY_MODEL)
    found = targets(group)
    for target in found:
        yield f"#### `{target.name}`"
        yield "\n".join(_option(option) for option in _described(target))
        if target.keys:
            yield _table(target.keys)
    named = {option.name for target in found for option in target.options}
    others = [option for name, option in options(group).items() if name not in named]
    if others:
        yield "\n".join(_option(option) for option in others)


def _described(target: Target) -> Iterable[Option]:
    """The options of a target, without the published data sets, which have a page of their own."""
    return (option for option in target.options if not is_published(option))


def _option(option: Option) -> str:
    of_pipeline = {key.name for key in pipeline_keys()} if option.group == "data" else set()
    changed = ", ".join(
        f"`{name}: {shown(value)}`" for name, value in option.values.items() if name in of_pipeline
    )
    parts = [option.head, f"Sets {changed}." if changed else ""]
    return " ".join([f"- `{option.name}`:", *filter(None, parts)]).rstrip(":")


def _with_links(keys: Iterable[Key]) -> Iterator[Key]:
    for key in keys:
        if key.name in GROUPS and not key.meaning:
            meaning = f"the group [{key.name}](#{key.name})"
            yield Key(key.name, "", key.defaults, meaning)
        else:
            yield key


def _table(keys: Iterable[Key]) -> str:
    rows = [
        "| key | type | default | meaning |",
        "|---|---|---|---|",
        *(
            f"| `{key.name}` | {_cell(key.type)} | {_default(key)} | {_cell(key.meaning)} |"
            for key in keys
        ),
    ]
    return "\n".join(rows)


def _default(key: Key) -> str:
    texts = (
        (f"`{value}`" if value != "required" else value, names)
        for value, names in key.defaults.items()
    )
    return _cell("<br>".join(f"{v} ({', '.join(n)})" if n else v for v, n in texts))


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text.replace("[H, W]", "`[H, W]`").replace("``", "`"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
