"""Cost of models as ratios to one of them, from the files of `segbench.benchmark`.

    python -m segbench.benchmark model=unet_resnet34,custom,unet output=runs/cost/a.json
    python tools/costs.py runs/cost/*.json                       prints the table

`make results ARGS="runs/cost/*.json"` publishes them, in experiments/results/costs and between
`<!-- costs -->` and `<!-- end of results -->` on a page, see publish.py.

Each file must also contain the reference, so that a ratio compares the same few minutes of
a machine. Times are for one image in evaluation. On a CPU this is `CPU time`, which equals the
latency on one thread of an idle machine and is less sensitive to other load. On a GPU, where the
CPU only waits, it is the `latency`. For several files, the median is used. Parameters and MACs of
all models are in docs/models.md.

`repeat gap`: how far the ratios of a model's files differ, largest / smallest - 1.
`spread`: the spread stated in the files, mean over them: the spreads between rounds of the model
    and of the reference, added. Ratios repeat if `repeat gap` is not larger.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segbench.artifacts.provenance import commit_in_words

REFERENCE = "unet_resnet34"
Row = dict[str, Any]
Pairs = list[tuple[Row, Row]]


class Time(NamedTuple):
    """A measure of time: its name in tables, its key in a row, the key of its spread."""

    title: str
    key: str
    spread: str


CPU = Time("CPU time", "cpu_ms", "cpu_spread")
LATENCY = Time("latency", "latency_ms", "latency_spread")


def read(file: Path) -> Any:
    """The content of a file of `segbench.benchmark`.

    Raises:
        ValueError: it is not one.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: is not JSON ({error}); measure it again") from None
    if not isinstance(content, dict) or not isinstance(content.get("models"), list):
        raise ValueError(f"{file}: is not a file of segbench.benchmark; see output= there")
    return content


def measured(contents: Mapping[Path, Any], reference: str) -> dict[str, Pairs]:
    """Rows by model, each with the row of the reference in the same file.

    Args:
        contents: the content of each file.
        reference: the model that ratios refer to.

    Raises:
        ValueError: there is no file, or one lacks the reference, or differs in size, mode or
            number of threads.
    """
    if not contents:
        raise ValueError("no costs are there; measure some, see tools/costs.py")
    found: dict[str, Pairs] = defaultdict(list)
    settings = set()
    for file, content in contents.items():
        rows = content["models"]
        beside = next((row for row in rows if row["model"] == reference), None)
        if beside is None:
            raise ValueError(f"{file}: has no {reference}; measure it in the same command")
        for row in rows:
            settings.add((tuple(row["input"]), row["device"]))
            found[row["model"]].append((row, beside))
    if len(settings) != 1:
        raise ValueError(f"these are not comparable: {sorted(map(str, settings))}")
    return dict(found)


def ratios(pairs: Pairs, key: str) -> list[float]:
    """Ratios of one quantity to that of the reference, one per file."""
    return [row[key] / beside[key] for row, beside in pairs]


def shown_time(found: dict[str, Pairs]) -> Time:
    """CPU time if every row has it, else latency."""
    rows = (row for pairs in found.values() for row, _ in pairs)
    return CPU if all(row.get(CPU.key) is not None for row in rows) else LATENCY


def repeats(pairs: Pairs, time: Time = CPU) -> tuple[float, float]:
    """How far the ratios of time differ, and the spread stated in the files; fractions."""
    found = ratios(pairs, time.key)
    spreads = [row[time.spread] + beside[time.spread] for row, beside in pairs]
    return max(found) / min(found) - 1, float(np.mean(spreads))


def table(found: dict[str, Pairs], reference: str) -> list[str]:
    """The table as Markdown, fastest first."""
    time = shown_time(found)
    lines = [
        f"| model | {time.title} | repeat gap | spread | memory |",
        "|---|---:|---:|---:|---:|",
    ]
    ratio = {name: float(np.median(ratios(found[name], time.key))) for name in found}
    for name in sorted(found, key=ratio.__getitem__):
        gap, spread = (f"{value:.0%}" for value in repeats(found[name], time))
        if name == reference:
            gap = spread = ""  # the reference itself
        elif len(found[name]) == 1:
            gap = ""
        memory = float(np.median(ratios(found[name], "peak_memory_mib")))
        lines.append(f"| {name} | {ratio[name]:.2f} | {gap} | {spread} | {memory:.2f} |")
    return lines


def section(files: Iterable[Path], reference: str = REFERENCE) -> str:
    """The table and how it was measured, as Markdown.

    Raises:
        ValueError: as `measured`.
    """
    contents = {file: read(file) for file in files}
    found = measured(contents, reference)
    lines = table(found, reference)
    time = shown_time(found)
    references = [row for row, _ in found.pop(reference)]
    first, times = references[0], [row[time.key] for row in references]
    low, high = (f"{value:.{0 if value >= 10 else 2}f}" for value in (min(times), max(times)))
    height, width = first["input"]
    commits = dict.fromkeys(commit_in_words(content) for content in contents.values())
    text = (
        f"Input 1 x 3 x {height} x {width}, {first['num_classes']} classes, {first['device']}, "
        f"torch {first['versions']['torch']}, {', '.join(commits)}. `{reference}` = 1: "
        f"{time.title} {low} to {high} ms, {first['peak_memory_mib']:.0f} MiB."
    )
    if several := [repeats(pairs, time) for pairs in found.values() if len(pairs) > 1]:
        agree = sum(gap <= spread for gap, spread in several)
        most = max(gap for gap, _ in several)
        text += (
            f" Repetitions differ by no more than the spread for {agree} of {len(several)} models, "
            f"and by at most {most:.0%}."
        )
    return "\n".join([*lines, "", text])


if __name__ == "__main__":
    try:
        print(section(map(Path, sys.argv[1:])))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"costs: {error}")
