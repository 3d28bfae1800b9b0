"""BibTeX for the models, encoders, data sets, libraries and methods that a study used.

Models and encoders are found by the targets and names in their configs; data sets bring their
citation in `about`. What has no entry is named in a comment: nothing is guessed from a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from segbench.artifacts.plain import mapping_at
from segbench.artifacts.result import Result
from segbench.artifacts.trained_as import data_used
from segbench.system.escaping import latex

# The last two parts of a model's target
MODELS = {
    "bisenetv2.BiSeNetV2": "bisenetv2", "ddrnet.DDRNet": "ddrnet", "eomt.EoMT": "eomt",
    "fcn.FCN8s": "fcn", "hrnet.HRNet": "hrnet", "mask2former.Mask2Former": "mask2former",
    "pidnet.PIDNet": "pidnet", "pspnet.PSPNet": "pspnet", "segnet.SegNet": "segnet",
    "segnext.SegNeXt": "segnext", "unet.UNet": "unet", "upernet.UPerNet": "upernet",
    "vit_linear.ViTLinear": "vit_linear", "hf.PublishedModel": "transformers",
    "smp.deeplabv3": "deeplabv3", "smp.deeplabv3plus": "deeplabv3plus", "smp.fpn": "fpn",
    "smp.linknet": "linknet", "smp.pan": "pan", "smp.unet": "unet",
    "smp.unetplusplus": "unetplusplus", "smp.upernet": "upernet", "smp_transformers.dpt": "dpt",
    "smp_transformers.segformer": "segformer", "torchvision_zoo.fcn_resnet50": "fcn",
    "torchvision_zoo.deeplabv3_resnet50": "deeplabv3",
    "torchvision_zoo.lraspp_mobilenet_v3_large": "mobilenet_v3",
}  # fmt: skip
# What the name of an encoder contains
ENCODERS = {
    "resnet": "resnet", "mit_b": "segformer", "efficientnet": "efficientnet", "swin": "swin",
    "convnext": "convnext", "vit_": "vit", "dinov2": "dinov2", "mobilenetv3": "mobilenet_v3",
}  # fmt: skip
# The module of a data source without `about`
DATA = {"camvid": "camvid", "camvid11": "camvid", "cityscapes": "cityscapes",
        "cityscapes_pairs": "cityscapes", "streets": "segbench"}  # fmt: skip
METRICS = {
    "boundary_IoU": "boundary_IoU", "boundary_F": "boundary_F", "NSD": "surface",
    "HD95": "surface", "ECE": "ECE", "SCE": "SCE", "Brier": "Brier", "AURC": "AURC",
}  # fmt: skip
ALWAYS = ("segbench", "holm", "variance", "rliable")
CITATION = re.compile(r'(?P<authors>[^"]+?),? "(?P<title>[^"]+?),?",? (?P<where>[^;]+)')
YEAR = re.compile(r"\b(?:19|20)\d\d\b")


@cache
def entries() -> dict[str, str]:
    """The entries of entries.bib by key."""
    text = (Path(__file__).parent / "entries.bib").read_text(encoding="utf-8")
    parts = [part.strip() for part in re.split(r"(?m)^(?=@)", text) if part.strip()]
    return {part[part.index("{") + 1 : part.index(",")]: part for part in parts}


def models(results: Iterable[Result]) -> dict[str, list[str]]:
    """The entries of each model and its encoder, by the model's name; empty if none is known."""
    found: dict[str, list[str]] = {}
    for result in results:
        node = mapping_at(result.trained_config, "model")
        target = ".".join(str(node.get("_target_", result.model)).split(".")[-2:])
        keys = [MODELS[target]] if target in MODELS else []
        encoder = " ".join((target, str(node.get("encoder_name", "")))).lower()
        keys += [key for word, key in ENCODERS.items() if keys and word in encoder]
        weights = str(node.get("encoder_weights"))
        if weights == "package" or "imagenet" in weights:
            keys.append("imagenet")
        found[result.name] = list(dict.fromkeys([*found.get(result.name, []), *keys]))
    return found


def data_sets(results: Iterable[Result]) -> dict[str, tuple[str, str] | None]:
    """Key and entry of each data set, by its title; None if it says nothing of its source."""
    found: dict[str, tuple[str, str] | None] = {}
    for node, target in (used for result in results for used in data_used(result)):
        about = mapping_at(node, "about")
        title = str(about.get("title") or target)
        known = of_citation(about.get("citation"), title) or of_source(target)
        found[title] = found.get(title) or known
    return found


def of_source(target: str) -> tuple[str, str] | None:
    """Key and entry of a data set that has its own reader."""
    parts = target.split(".")
    if parts[0] != "segbench" or parts[-2] not in DATA:
        return None
    key = DATA[parts[-2]]
    return key, entries()[key]


def of_citation(citation: object, title: str) -> tuple[str, str] | None:
    """Key and entry from `Authors, "Title", VENUE YEAR.`; of several works the first."""
    match = CITATION.match(" ".join(str(citation or "").split()))
    if match is None:
        return None
    authors = re.sub(r",? et al\.?", ", others", match["authors"]).split(", ")
    year = YEAR.search(match["where"])
    where = re.split(r"\. (?=[A-Z])", match["where"])[0].rstrip(". ")
    where = where.removesuffix(year[0]).rstrip(", ") if year else where
    key = "data-" + (re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "set")
    lines = [f"@misc{{{key},", f"  author = {{{' and '.join(map(_field, authors))}}},",
             f"  title = {{{{{_field(match['title'])}}}}},",
             f"  howpublished = {{{_field(where)}}},"]  # fmt: skip
    lines += [f"  year = {{{year[0]}}},"] if year else []
    return key, "\n".join([*lines, "}"])


def libraries(results: Iterable[Result]) -> list[str]:
    """The entries of the libraries that the runs recorded."""
    names = dict.fromkeys(name for result in results for name in result.versions)
    return [name for name in names if name in entries()]


def methods(
    comparisons: Iterable[Mapping[str, Any]], across: Mapping[str, Any] | None
) -> list[str]:
    """The entries of the statistics and metrics that the comparisons used."""
    keys = list(ALWAYS)
    for found in comparisons:
        keys += ["block_bootstrap"] if found["unit"] == "block" else []
        keys += ["tost"] if found["margin"] else []
        keys += ["corruptions", "imagecorruptions"] if found["robustness"] else []
        for name in (found["metric"], *(row["metric"] for row in found["metrics"])):
            keys += [METRICS[name]] if name in METRICS else []
            keys += ["fine_grained"] if re.fullmatch(r"m(IoU|Dice)_[IC]\d*", name) else []
    if across:
        keys += ["folds"] if across["cross_validation"] else []
        keys += ["ranks"] if across["ranks"] else []
    return list(dict.fromkeys(keys))


def bibliography(results: Iterable[Result], used: Iterable[str] = ALWAYS) -> str:
    """references.bib: entries of what was used; what has none is named in a comment.

    Args:
        results: the records of all runs.
        used: entries of the methods, see `methods`.
    """
    results = list(results)
    lines, found = [], dict[str, str]()
    for name, keys in models(results).items():
        lines += [] if keys else [f"% no entry is known for the model {_comment(name)}"]
        found |= {key: entries()[key] for key in keys}
    for title, entry in data_sets(results).items():
        lines += [] if entry else [f"% no entry is known for the data set {_comment(title)}"]
        found |= dict([entry]) if entry else {}
    found |= {key: entries()[key] for key in (*libraries(results), *used)}
    return "\n\n".join(["\n".join(lines), *found.values()]).strip() + "\n"


def _field(text: str) -> str:
    """Text for a field; braces would end it."""
    return latex(re.sub(r"[{}\\]", "", text).strip())


def _comment(text: str) -> str:
    """Text between entries, where an @ would begin one."""
    return " ".join(text.replace("@", "(at)").split())
