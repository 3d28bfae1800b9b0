"""Generates docs/datasets.md from the configs of the data sets.

python tools/datasets_page.py           as `make datasets` does
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segbench.config import config_dir
from segbench.config.compose import compose_checked, register

PAGE = Path(__file__).resolve().parents[1] / "docs" / "datasets.md"
TEMPLATES = ("folder", "hf")  # for any data set: the user sets their keys
INTRODUCTION = """# Data sets

<!-- Written by tools/datasets_page.py from conf/data; change it there, then: make datasets -->

`data=NAME data.root=PATH` reads any of these data sets with its official splits, class names and
colors. `python -m segbench.check_data data=NAME` prints how to get a data set, or checks it if you
have it. Set the environment variable `SEGBENCH_DATA` to a folder that contains all your data sets;
the default is `data`.

To add a data set, copy the most similar YAML in `conf/data`: most need patterns for images and
masks, classes, and the entries under `about` (see `segbench/data/about.py`). The scores below were
published by others under the conditions given. They are for orientation; segbench measured none of
them.
"""


def page() -> str:
    """The text of docs/datasets.md."""
    register()
    files = sorted((config_dir() / "data").glob("*.yaml"))
    names = [file.stem for file in files if file.stem not in TEMPLATES]
    configs = {name: _config(name) for name in names}
    described = {name: config for name, config in configs.items() if config.get("about")}
    others = [name for name in configs if name not in described]
    lines = [INTRODUCTION, "| `data=` | field | classes | train | val | test | group |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [_row(name, config) for name, config in described.items()]
    lines += ["", "Other data sets, with their own reader or as an example:", ""]
    lines += [f"- `{name}`: {_head(config_dir() / 'data' / f'{name}.yaml')}" for name in others]
    lines += [_section(name, config) for name, config in described.items()]
    return "\n".join(lines) + "\n"


def _config(name: str) -> dict[str, Any]:
    config: Any = OmegaConf.to_container(
        compose_checked("check_data", [f"data={name}"]).data, resolve=True
    )
    return config


def _row(name: str, config: dict[str, Any]) -> str:
    about = config["about"]
    images = [_count(about["images"][split]) for split in ("train", "val", "test")]
    if _val_is_test(config):
        images[2] = "val"
    grouped = "{group}" in config["images"] or config["group_regex"]
    cells = [f"[`{name}`](#{name})", about["field"], str(_num_classes(config)), *images]
    return f"| {' | '.join([*cells, 'yes' if grouped else 'image'])} |"


def _count(images: int | None) -> str:
    return "" if images is None else f"{images:,}" if images else "none"


def _val_is_test(config: dict[str, Any]) -> bool:
    if config["lists"] is not None:
        return bool(config["lists"]["val"] == config["lists"]["test"])
    folders = {split: split for split in ("val", "test")} | (config["splits"] or {})
    return bool(folders["val"] == folders["test"])


def _num_classes(config: dict[str, Any]) -> int:
    names = config["classes"] or [name for name in config["label_map"] if name != "ignore"]
    return len(names)


def _head(file: Path) -> str:
    comment = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            break
        comment.append(line[2:])
    return " ".join(comment)


def _section(name: str, config: dict[str, Any]) -> str:
    about = config["about"]
    steps = [f"{number}. {step}" for number, step in enumerate(about["get"], 1)]
    parts = [
        f"\n## {name}",
        f"{about['title']}: {_num_classes(config)} classes, protocol `{config['protocol']}`."
        + ("" if about.get("comparable", True) else " **No published score uses this split.**"),
        f"- Size: {about['size']}\n- License: {about['license']}\n- Citation: {about['citation']}",
        "\n".join(steps),
        f"```\n{about['layout'].rstrip()}\n```",
        about["labels"],
        _bullets("Notes:", about.get("notes")),
        _bullets("Published scores:", about.get("scores")),
        _bullets("References:", about["sources"]),
    ]
    return "\n\n".join(part for part in parts if part)


def _bullets(title: str, items: list[str] | None) -> str:
    return "\n".join([title, "", *(f"- {item}" for item in items)]) if items else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
