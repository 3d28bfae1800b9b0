"""Cost of models as ratios to one of them, from the files that `segbench.benchmark` writes.

    python -m segbench.benchmark model=unet_resnet34,custom,unet output=runs/cost/a.json
    python benchmarks/models.py runs/cost/*.json

Each file must hold the reference too, so that a ratio compares times of the same few minutes; on a
busy machine nothing else compares. Where a model is in several files its ratio is their median,
`apart` is how far the ratios differ (largest / smallest - 1), and `spread` what the files say
that they may: the spreads between rounds of the model and of the reference, added. A model repeats
if apart is at most the mean spread of its files.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def measured(files: Iterable[Path], reference: str) -> dict[str, list[tuple[Row, Row]]]:
    """Rows by model, each with the row of the reference in the same file.

    Raises:
        SystemExit: a file without the reference, or of another size, mode or number of threads.
    """
    found: dict[str, list[tuple[Row, Row]]] = defaultdict(list)
    settings = set()
    for file in files:
        rows = json.loads(file.read_text(encoding="utf-8"))["models"]
        beside = next((row for row in rows if row["model"] == reference), None)
        if beside is None:
            raise SystemExit(f"{file}: has no {reference}; measure it in the same command")
        for row in rows:
            settings.add((tuple(row["input"]), row["device"]))
            found[row["model"]].append((row, beside))
    if len(settings) != 1:
        raise SystemExit(f"these do not compare: {sorted(map(str, settings))}")
    return dict(found)


def ratios(pairs: list[tuple[Row, Row]], key: str) -> list[float]:
    """Of one quantity to the reference's, one for each file."""
    return [row[key] / beside[key] for row, beside in pairs]


def repeats(pairs: list[tuple[Row, Row]]) -> tuple[float, float]:
    """How far the ratios of latency are apart, and the spread that the files state; fractions."""
    found = ratios(pairs, "latency_ms")
    spreads = [row["latency_spread"] + beside["latency_spread"] for row, beside in pairs]
    return max(found) / min(found) - 1, statistics.mean(spreads)


def table(found: dict[str, list[tuple[Row, Row]]]) -> list[str]:
    """Markdown, fastest first."""
    lines = [
        "| model | params (M) | GMACs | latency (x) | apart | spread | memory (x) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    latency = {name: statistics.median(ratios(found[name], "latency_ms")) for name in found}
    for name in sorted(found, key=latency.__getitem__):
        row = found[name][0][0]
        apart, spread = repeats(found[name])
        memory = statistics.median(ratios(found[name], "peak_memory_mib"))
        several = len(found[name]) > 1
        lines.append(
            f"| {name} | {row['params'] / 1e6:.2f} | {row['macs'] / 1e9:.2f} | {latency[name]:.2f} "
            f"| {f'{apart:.0%}' if several else ''} | {spread:.0%} | {memory:.2f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, help="benchmark.json of each run")
    parser.add_argument("--reference", default="unet_resnet34")
    arguments = parser.parse_args()
    found = measured(arguments.files, arguments.reference)
    references = [row for row, _ in found[arguments.reference]]
    first = references[0]
    times = [row["latency_ms"] for row in references]
    print("\n".join(table(found)))
    height, width = first["input"]
    print(
        f"\n1 x 3 x {height} x {width}, {first['num_classes']} classes, {first['device']}, torch "
        f"{first['versions']['torch']}. {arguments.reference} = 1: "
        f"{min(times):.0f} to {max(times):.0f} ms in {len(times)} files, "
        f"{first['peak_memory_mib']:.0f} MiB."
    )
    others = {name: repeats(pairs) for name, pairs in found.items() if len(pairs) > 1}
    others.pop(arguments.reference, None)
    agree = sum(apart <= spread for apart, spread in others.values())
    print(f"Ratios that repeat within the spread: {agree} of {len(others)}.")


if __name__ == "__main__":
    main()
