"""Explain a model: heat maps, embeddings of its features, a drawing of its architecture.

python -m segbench.explain ckpt=best.ckpt source=photo.jpg classes=[Road,Sky]
python -m segbench.explain embeddings ckpt=best.ckpt root=DATA_FOLDER
python -m segbench.explain architecture model=unet,segformer_b0 output=docs/architectures
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from segbench.config import Config, make_folder, resolved
from segbench.config.app import run_verb
from segbench.config.named_models import as_list, training_configs
from segbench.config.outcome import Outcome
from segbench.errors import ConfigError
from segbench.system.console import say
from segbench.system.storage import alone_in, file_names, write_text

if TYPE_CHECKING:
    import numpy as np

    from segbench.artifacts.segmenter import Segmenter

KINDS = ("heatmaps", "embeddings", "architecture")


def explain(config: DictConfig) -> Outcome:
    """Writes the explanation that `what` selects to `output`."""
    plain = resolved(config)
    _check(plain)
    folder = make_folder("output", plain["output"])
    with alone_in(folder, "output"):
        _explain(plain, folder)
    return Outcome("finished", run_dir=str(folder))


def _explain(config: Config, folder: Path) -> None:
    if config["what"] == "architecture":
        _architectures(config, folder)
        return
    from segbench.artifacts.default_checkpoint import about_default
    from segbench.artifacts.segmenter import Segmenter

    segmenter = Segmenter(config["ckpt"], device=config["device"],
                          allow_targets=config["allow_targets"])  # fmt: skip
    if config["ckpt"] is None:
        say(about_default(segmenter.classes.num_classes), stderr=True)
    draw = _embeddings if config["what"] == "embeddings" else _heat_maps
    try:
        draw(config, segmenter, folder)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _check(config: Config) -> None:
    problems = []
    if config["what"] == "architecture":
        if not config["models"]:
            problems.append("architecture needs model=NAME,NAME or model=all")
    elif config["models"]:
        problems.append("model is for architecture; heat maps and embeddings need ckpt=FILE")
    if str(config["ckpt"]).endswith(".onnx"):
        problems.append("ckpt: an .onnx file cannot be explained; use the checkpoint")
    if config["what"] == "embeddings" and config["source"]:
        problems.append("embeddings need masks: remove source and set root=DATA_FOLDER")
    for key, length in (("pixel", 2), ("region", 4), ("size", 2)):
        if config[key] is None:
            continue
        if len(config[key]) != length:
            problems.append(f"{key}: needs {length} numbers, got {config[key]}")
        elif key == "size" and min(config[key]) < 1:
            problems.append(f"size: must be [H, W] in pixels, got {config[key]}")
    if problems:
        raise ConfigError("\n".join(problems))


def _heat_maps(config: Config, segmenter: Segmenter, folder: Path) -> None:
    from segbench.explanation.heat_sheets import explain_image, write_sheet

    labels = segmenter.class_ids(config["classes"])
    names: list[str] = []
    for name, image, mask in _images(config, segmenter):
        names.append(name)
        found = explain_image(segmenter, image, mask, labels, config["layer"], config["pixel"],
                              config["region"], config["method"])  # fmt: skip
        file = folder / f"{file_names(names)[-1]}.png"
        write_sheet(found, file)
        say(f"{file} and .npz: {', '.join(found.heat)} at layer {found.layer}")


def _embeddings(config: Config, segmenter: Segmenter, folder: Path) -> None:
    from segbench.explanation.embedding_report import (
        embed_images,
        print_separation,
        write_embedding,
    )

    embedded = embed_images(
        segmenter, list(_images(config, segmenter)), config["layer"] or "head.input",
        config["projection"], config["per_class"], config["least"], config["neighbors"],
        config["seed"],
    )  # fmt: skip
    write_embedding(embedded, folder)
    print_separation(embedded, folder)


def _architectures(config: Config, folder: Path) -> None:
    from segbench.artifacts.build import build_model
    from segbench.artifacts.offline import offline
    from segbench.explanation.architecture import trace
    from segbench.explanation.drawing import as_svg
    from segbench.metrics.scores import amount

    height, width = config["size"]
    for name, train in training_configs(config["models"]).items():
        traced = trace(build_model(offline(train["model"]), config["num_classes"]), (height, width))
        file = folder / f"{file_names([name])[0]}.svg"
        write_text(file, as_svg(traced, name))
        say(f"{file}: {amount(traced.params)} parameters, {amount(traced.macs)} MACs")


def _images(
    config: Config, segmenter: Segmenter
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Name, image as read for the checkpoint, mask uint8 `[H, W]` (None for the user's images)."""
    from segbench.inference.inputs import find_sources
    from segbench.inference.photos import read_photo

    if config["source"]:
        for name, file in list(find_sources(config["source"]).items())[: config["images"]]:
            yield name, read_photo(file, segmenter.bands), None
        return
    source = segmenter.source(config["root"])
    records = source.records(config["split"])
    every = max(1, len(records) // config["images"])  # evenly spaced over the split
    for record in records[::every][: config["images"]]:
        image, mask = source.read(record)
        yield record.name, image, mask


def _readable(argument: str) -> str:
    """Expands `architecture` to `what=architecture`, and `model=a,b` to `models=[a,b]`."""
    return f"what={argument}" if argument in KINDS else as_list(argument)


if __name__ == "__main__":
    sys.argv[1:] = [_readable(argument) for argument in sys.argv[1:]]
    run_verb("explain", explain)
