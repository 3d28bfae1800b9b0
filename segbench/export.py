"""Export a model as ONNX or as a small checkpoint, and check it on real images.

python -m segbench.export ckpt=runs/STUDY/NAME/seedN/checkpoints/best.ckpt
python -m segbench.export ckpt=best.ckpt argmax=true source=photos/ output=net.onnx
python -m segbench.export ckpt=best.ckpt format=ckpt half=true output=net.ckpt

Writes FILE.onnx and FILE.json (classes, colors, normalization, scores, provenance), or FILE.ckpt
without what only training needs and its model card FILE.md. If the file does not predict the same
as the checkpoint, it is not written and the exit code is 1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from segbench.config import Config, make_folder, resolved
from segbench.config.app import run_verb
from segbench.config.command_line import command
from segbench.config.outcome import Outcome
from segbench.errors import ConfigError
from segbench.system.console import say
from segbench.system.storage import alone_in, replacing

if TYPE_CHECKING:
    from torch import Tensor

    from segbench.artifacts.segmenter import Segmenter
    from segbench.data.bands import Bands
    from segbench.inference.onnx_export import Deployed


def export(config: DictConfig) -> Outcome:
    """Writes the file, checks it, writes its metadata."""
    plain = resolved(config)
    target = _check(plain)
    from segbench.artifacts.segmenter import Segmenter

    segmenter = Segmenter(plain["ckpt"], device="cpu", allow_targets=plain["allow_targets"])
    images = _images(plain, segmenter)
    write = _write_onnx if plain["format"] == "onnx" else _write_small
    with alone_in(target.parent, "output", target.name):
        write(target, segmenter, images, plain)
    return Outcome("finished", run_dir=str(target))


def _write_small(target: Path, segmenter: Segmenter, images: list[Tensor], config: Config) -> None:
    """Writes a checkpoint without what only training needs, and its model card."""
    from segbench.artifacts import small_checkpoint
    from segbench.artifacts.model_card import card
    from segbench.artifacts.segmenter import Segmenter
    from segbench.errors import ExportError

    beside = target.with_suffix(".md")
    with replacing(target) as draft, replacing(beside) as text:
        small_checkpoint.write_small(segmenter.ckpt, draft, config["half"])
        small = Segmenter(draft, device="cpu", allow_targets=config["allow_targets"])
        pairs = [
            (segmenter.predictor.labels(image), small.predictor.labels(image)) for image in images
        ]
        shares = [float((ours == theirs).double().mean()) for ours, theirs in pairs]
        same = min(shares)
        if same < config["agreement"]:
            raise ExportError(
                f"the small checkpoint was not kept: only {100 * same:.3f} % of the pixels of the "
                f"worst image get the class of the original (agreement={config['agreement']}). "
                + ("Keep the weights in 32 bits: half=false" if config["half"] else "")
            )
        parity = {"images": len(images), "agreement": same, "mean": sum(shares) / len(shares)}
        size = draft.stat().st_size
        text.write_text(card(target, size, small.meta, parity, config["half"]), "utf-8")
    say(
        f"{target} ({target.stat().st_size / 2**20:.1f} MiB): {100 * parity['mean']:.3f} % of "
        f"pixels agree with the original on {len(images)} images, {100 * same:.3f} % on the "
        f"worst\n{beside}: the model card\n"
        + _command("segbench.predict", target, config, source="PHOTO")
    )


def _write_onnx(target: Path, segmenter: Segmenter, images: list[Tensor], plain: Config) -> None:
    """Writes an ONNX file, and its metadata as JSON."""
    import torch

    from segbench.inference import onnx_export, onnx_sizes
    from segbench.inference.onnx import OnnxNetwork

    predictor, meta = segmenter.predictor, segmenter.meta
    divisor = onnx_sizes.divisor_of(predictor.model, predictor.divisor, len(meta["mean"]))
    network = onnx_export.Deployed(
        predictor.model,
        meta["mean"],
        meta["std"],
        divisor,
        plain["argmax"],
        segmenter.bands.limits,
    )
    card = _card(segmenter, plain, divisor)
    with replacing(target) as draft, replacing(target.with_suffix(".json")) as beside:
        try:
            program = onnx_export.export_onnx(network, draft, _inside(segmenter))
            images = [image.float() for image in images]
            if plain["quantize"] != "none":
                onnx_export.quantize(draft, plain["quantize"], images)
            card["parity"] = _parity(network, draft, images, plain)
            least = onnx_sizes.least_size(network, OnnxNetwork(draft))
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if least != 1 and plain["quantize"] == "none":
            card["least_size"] = least
            card["input"]["image"] += f" of at least {least} pixels"
        beside.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    if plain["program"]:
        with replacing(target.with_suffix(".pt2")) as draft, draft.open("wb") as file:
            torch.export.save(onnx_export.any_size(program), file)
    _print(target, card, plain)


def _check(config: Config) -> Path:
    """Checks the options; returns the file to write."""
    if config["ckpt"].endswith(".onnx"):
        raise ConfigError(f"ckpt={config['ckpt']}: is already ONNX; set the checkpoint")
    is_onnx = config["format"] == "onnx"
    ending = "_int8.onnx" if config["quantize"] != "none" else ".onnx" if is_onnx else "_small.ckpt"
    ckpt = Path(config["ckpt"])
    target = Path(config["output"] or ckpt.with_name(ckpt.stem + ending))
    of_onnx = [k for k in ("argmax", "program") if config[k]]
    of_onnx += ["quantize"] if config["quantize"] != "none" else []
    if is_onnx and config["half"]:
        raise ConfigError("half is for format=ckpt; for a smaller ONNX file, use quantize")
    if not is_onnx and of_onnx:
        raise ConfigError(f"{', '.join(of_onnx)}: only for format=onnx")
    if target.suffix != f".{config['format']}":
        hint = "; did you mean format=ckpt?" if target.suffix == ".ckpt" else ""
        raise ConfigError(
            f"output={target}: must end in .{config['format']}, so that predict recognizes it{hint}"
        )
    if target.resolve() == ckpt.resolve():
        raise ConfigError(f"output={target}: is the checkpoint itself; choose another file")
    make_folder("output", target.parent)
    return target


def _images(config: Config, segmenter: Segmenter) -> list[Tensor]:
    """Real images `[1, channels, H, W]` as read, each at two sizes."""
    import torch

    from segbench.data.frames import resize_image
    from segbench.inference.inputs import find_sources
    from segbench.inference.photos import read_photo

    if config["source"]:
        files = list(find_sources(config["source"]).values())[: config["images"]]
        photos = [read_photo(file, segmenter.bands) for file in files]
    else:
        source = segmenter.source(config["root"])
        records = source.records("test")
        every = max(1, len(records) // config["images"])
        photos = [source.read(record)[0] for record in records[::every][: config["images"]]]
    found = []
    for photo in photos:
        height, width = segmenter.seen_size(photo.shape[:2])
        for size in ((height, width), (max(1, height * 3 // 4 - 1), max(1, width * 2 // 3 + 1))):
            pixels = torch.from_numpy(resize_image(photo, size)).permute(2, 0, 1)
            found.append(pixels[None])
    return found


def _parity(network: Deployed, file: Path, images: list[Tensor], config: Config) -> Config:
    """Compares the file with the model.

    Raises:
        ExportError: they differ by more than allowed; quantized files may differ.
    """
    from segbench.errors import ExportError
    from segbench.inference.onnx import OnnxNetwork
    from segbench.inference.onnx_export import agreement

    written = OnnxNetwork(file)
    found = [agreement(network, written, image) for image in images]
    same, difference = min(f[0] for f in found), max(f[1] for f in found)
    is_exact = config["quantize"] == "none"
    if is_exact and (same < config["agreement"] or not difference <= config["tolerance"]):
        raise ExportError(
            f"the ONNX file does not predict what the checkpoint predicts and was not kept: "
            f"{100 * same:.3f} % of the pixels of the worst image have the same class (agreement="
            f"{config['agreement']}), logits differ by up to {difference:.1e} of the largest "
            f"(tolerance={config['tolerance']})"
        )
    sizes = sorted({tuple(image.shape[2:]) for image in images})
    return {"images": len(images), "sizes": sizes, "agreement": same, "logits": difference}


def _inside(segmenter: Segmenter) -> Config:
    """The metadata inside the file: everything that predict and evaluate need."""
    meta = segmenter.meta
    data = {**meta["config"]["data"], "mean": meta["mean"], "std": meta["std"]}
    # The graph pads by itself, and ONNX Runtime computes in float32.
    return {
        "format": meta["format"],
        "config": {
            **meta["config"],
            "inference": {**segmenter.inference, "divisor": 1},
            "data": data,
        },
        "classes": meta["classes"],
        "protocol": {**meta["protocol"], "precision": "32-true"},
        "scores": meta["scores"],
        "params": segmenter.num_params,
        **{k: meta[k] for k in ("fingerprint", "trained_on", "origin", "devices") if k in meta},
    }


def _card(segmenter: Segmenter, config: Config, divisor: int) -> Config:
    """The JSON next to the file, for use without segbench."""
    from segbench.artifacts import provenance
    from segbench.artifacts.small_checkpoint import result_beside
    from segbench.artifacts.typed import plain
    from segbench.inference.onnx_export import OPSET

    meta, trained = segmenter.meta, segmenter.meta["config"]
    result = result_beside(segmenter.ckpt)
    outputs = {"logits": "float32 [N, C, H, W]"}
    outputs |= {"labels": "uint8 [N, H, W]"} if config["argmax"] else {}
    return {
        "input": {"image": _input(segmenter.bands)},
        "bands": plain(segmenter.bands),
        "outputs": outputs,
        "classes": meta["classes"],
        "mean": list(meta["mean"]),
        "std": list(meta["std"]),
        "normalization": "((image - low) / (high - low) - mean) / std, inside the graph",
        "low": segmenter.bands.limits[0],
        "high": segmenter.bands.limits[1],
        "divisor": divisor,
        "quantize": config["quantize"],
        "opset": OPSET,
        "protocol": meta["protocol"],
        "scores": meta["scores"],
        "params": segmenter.num_params,
        "model": trained["model"],
        "study": trained.get("study"),
        "name": trained.get("name"),
        "seed": trained.get("seed"),
        "data": trained["data"],
        "license": "The weights were trained on the data set named under `data`; its terms may "
        "restrict their use.",
        "commit": result.commit if result else None,
        "exported_by": {"commit": provenance.commit()[0], "versions": provenance.versions()},
    }


def _input(bands: Bands) -> str:
    """The input of the graph, in words."""
    low, high = bands.limits
    if bands.is_rgb:
        what = "RGB"
    elif isinstance(bands.channels, int):
        what = "all bands of the file"
    else:
        what = f"the bands {', '.join(map(str, bands.channels))} of the file, counted from 0"
    values = f"{low:g}..{high:g}" if not bands.keeps_values else "as stored"
    return f"float32 [N, {bands.count}, H, W], {what}, {values}; any N, H, W"


def _command(module: str, target: Path, config: Config, **further: str) -> str:
    """A command that uses the file; it runs the same code from outside segbench as the export."""
    given = {"ckpt": str(target)}
    if allowed := config["allow_targets"]:
        given["allow_targets"] = f"[{','.join(allowed)}]"
    return command(module, given | further)


def _print(target: Path, card: Config, config: Config) -> None:
    parity = card["parity"]
    sizes = ", ".join("x".join(map(str, size)) for size in parity["sizes"][:4])
    say(
        f"{target} ({target.stat().st_size / 2**20:.1f} MiB): {100 * parity['agreement']:.3f} % "
        f"of pixels agree with PyTorch, logits within {parity['logits']:.1e}, on "
        f"{parity['images']} images ({sizes})\n" + _command("segbench.evaluate", target, config)
    )


if __name__ == "__main__":
    run_verb("export", export)
