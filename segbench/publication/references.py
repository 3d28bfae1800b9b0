"""BibTeX for the models, data sets and libraries that a study used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from segbench.artifacts.result import Result

ALWAYS = ("torch", "numpy", "holm", "rliable", "variance")


@cache
def entries() -> dict[str, str]:
    """The entries of entries.bib by key."""
    text = (Path(__file__).parent / "entries.bib").read_text(encoding="utf-8")
    parts = [part.strip() for part in re.split(r"(?m)^(?=@)", text) if part.strip()]
    return {part[part.index("{") + 1 : part.index(",")]: part for part in parts}


def keys_of(words: Iterable[str]) -> list[str]:
    """The entries that names of models and data sets point to."""
    found = [key for word in words for key in entries() if _means(word.lower(), key)]
    return list(dict.fromkeys(found))


def _means(word: str, key: str) -> bool:
    flat = word.replace("-", "").replace("_", "")
    if key == "unet" and "unetplusplus" in flat:
        return False
    return key.replace("_", "").replace("-", "") in flat


def bibliography(results: Iterable[Result]) -> str:
    """references.bib: entries of what was used; what has none is named in a comment."""
    results = list(results)
    used = {(result.name, result.model or result.name) for result in results}
    data = {result.data for result in results}
    libraries = {name for result in results for name in result.versions}
    lines, keys = [], list(ALWAYS)
    for name, target in sorted(used):
        found = keys_of([name.rpartition("-")[0] or name, target.split(".")[-2:][0]])
        keys += found
        lines += [] if found else [f"% no entry is known for the model {_comment(name)}"]
    for target in sorted(data):
        found = keys_of([target.split(".")[-1], *target.split(".")[-2:-1]])
        keys += found
        lines += [] if found else [f"% no entry is known for the data set {_comment(target)}"]
    keys += [key for key in ("pytorch-lightning", "segmentation-models-pytorch")
             if any(key in library.replace("_", "-") for library in libraries)]  # fmt: skip
    return (
        "\n\n".join(["\n".join(lines), *(entries()[key] for key in dict.fromkeys(keys))]).strip()
        + "\n"
    )


def _comment(text: str) -> str:
    return " ".join(text.split())
