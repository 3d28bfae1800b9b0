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

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segbench.artifacts.provenance import commit_in_words
from segbench.comparison.side_files import positive
from segbench.errors import first_few

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
        OSError: it cannot be read.
        ValueError: it does not exist or is another kind of file; or a model has no measurement
            there, or an impossible one.
    """
    if file.is_dir():
        raise ValueError(f"{file}: is a folder; name its files, {file}/*.json")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        command = f"python -m segbench.benchmark model=NAME,NAME output={file}"
        raise ValueError(f"{file} does not exist; create it with {command}") from None
    except ValueError as error:
        raise ValueError(f"{file}: is not JSON ({error}); measure it again") from None
    if not isinstance(content, dict) or not isinstance(content.get("models"), list):
        raise ValueError(f"{file}: is not a file of segbench.benchmark; see output= there")
    names: set[str] = set()
    for row in content["models"]:
        if problem := _problem(row, names):
            raise ValueError(f"{file}: {problem}; measure it again")
        names.add(row["model"])
    return content


def _problem(row: Any, others: Collection[str]) -> str | None:
    """Why a row cannot be used, or None."""
    if not isinstance(row, dict) or not isinstance(name := row.get("model"), str):
        return "a row is not the measurement of a model"
    if name in others:
        return f"{name} was measured twice, at several sizes or in several modes"
    if row.get("error") is not None:
        return f"{name} was not measured ({row['error']})"
    times = (CPU, LATENCY) if row.get(CPU.key) is not None else (LATENCY,)
    known = {key: row.get(key) for time in times for key in (time.key, time.spread)}
    known |= {"peak_memory_mib": row.get("peak_memory_mib"), "num_classes": row.get("num_classes")}
    for key, value in known.items():
        if positive(value, or_zero="spread" in key) is None:
            return f"{name}: {key} is {value!r}, which is no measurement"
    size = row.get("input")
    if not isinstance(size, list) or len(size) != 2 or not all(map(positive, size)):
        return f"{name}: input is {size!r}, not [H, W]"
    if not isinstance(row.get("device"), str) or not isinstance(row.get("versions"), dict):
        return f"{name}: the device or the versions are missing"
    return None


def measured(contents: Mapping[Path, Any], reference: str) -> dict[str, Pairs]:
    """Rows by model, each with the row of the reference in the same file.

    Args:
        contents: the content of each file, see `read`.
        reference: the model that ratios refer to.

    Raises:
        ValueError: there is no file, one has the measurements of another, lacks the reference, or
            differs in size or device.
    """
    if not contents:
        raise ValueError("no files are given; those published are experiments/results/costs/*.json")
    found: dict[str, Pairs] = defaultdict(list)
    settings: dict[str, dict[str, None]] = defaultdict(dict)  # the files of each, in their order
    seen: dict[str, Path] = {}
    for file, content in contents.items():
        rows = content["models"]
        beside = next((row for row in rows if row["model"] == reference), None)
        if beside is None:
            raise ValueError(f"{file}: has no {reference}; measure it in the same command")
        for row in rows:
            key = json.dumps(row, sort_keys=True)
            if (other := seen.setdefault(key, file)) != file:
                raise ValueError(
                    f"{file}: {row['model']} is the same measurement as in {other}, which would "
                    "count as a repetition; remove one of them"
                )
            height, width = row["input"]
            settings[f"{height} x {width} on {row['device']}"][str(file)] = None
            found[row["model"]].append((row, beside))
    if len(settings) > 1:
        told = (f"{name} ({first_few([*files], 3)})" for name, files in settings.items())
        raise ValueError(f"these are not comparable: {'; '.join(told)}")
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


def main() -> None:
    """Prints the table of the given files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="runs/cost/*.json")
    files = parser.parse_args().files
    try:
        if len({file.resolve() for file in files}) < len(files):
            raise ValueError("a file is given twice, which would count as a repetition")
        print(section(files))
    except (OSError, ValueError) as error:
        sys.exit(f"costs: {error}")


if __name__ == "__main__":
    main()
