"""A comparison as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.comparison.reproduce import sources
from segbench.comparison.wording import bounds, p_value, points
from segbench.metrics.scores import MISSING, percent

Row = list[str]


def leaderboard_rows(comparison: Mapping[str, Any]) -> list[Row]:
    """Header and one row per model."""
    level = f"{100 * comparison['confidence']:.0f}% interval"
    rows = [["model", "mIoU (%)", level, "SD over seeds", "seeds", "best in",
             "pixel_acc (%)", "params (M)"]]  # fmt: skip
    for row in comparison["leaderboard"]:
        rows.append(
            [
                row["label"] + (" (predictions)" if row["kind"] == "evaluate" else ""),
                percent(row["value"]),
                bounds(row["interval"]),
                percent(row["sd"], 2),
                str(len(row["seeds"])),
                f"{100 * row['places'][0]:.0f}%",
                percent(row["pixel_acc"]),
                MISSING if not row["params"] else f"{row['params'] / 1e6:.2f}",
            ]
        )
    return rows


def pair_rows(comparison: Mapping[str, Any]) -> list[Row]:
    """Header and one row per pair of models."""
    level = f"{100 * comparison['confidence']:.0f}% interval"
    rows = [["models", "verdict", "difference (points)", level, "p (Holm)",
             "effect (seed SDs)", "chance a run wins"]]  # fmt: skip
    for pair in comparison["pairs"]:
        effect = pair["effect"]
        rows.append(
            [
                f"{pair['a']} − {pair['b']}",
                pair["verdict"],
                points(pair["value"]),
                bounds(pair["interval"], signed=True),
                _p_cell(pair["p_holm"]),
                MISSING if effect is None else f"{effect:+.1f}".replace("-", "−"),
                f"{100 * pair['improvement'][0]:.0f}%",
            ]
        )
    return rows


def class_rows(comparison: Mapping[str, Any]) -> list[Row]:
    """Header and one row per class: IoU of each model, and the headline difference.

    A class that is in neither masks nor predictions has a dash in every cell.
    """
    labels = [row["label"] for row in comparison["leaderboard"]]
    header = ["class", *labels]
    pair = None
    if comparison["headline"] is not None:
        pair = comparison["pairs"][comparison["headline"]]
        header += [f"{pair['a']} − {pair['b']}", "corrected interval", "p (Holm)"]
    rows = [header]
    for index, name in enumerate(comparison["classes"]):
        row = [name, *(percent(r["class_iou"][name]) for r in comparison["leaderboard"])]
        if pair is not None:
            entry = pair["classes"][index]
            row += [
                points(entry["value"]),
                bounds(entry["interval"], signed=True),
                _p_cell(entry["p_holm"]),
            ]
        rows.append(row)
    return rows


def _p_cell(p: float | None) -> str:
    return MISSING if p is None else p_value(p)


def markdown(comparison: Mapping[str, Any]) -> str:
    """The comparison for a README or an issue."""
    parts = [f"# {comparison['study']}", f"**{comparison['verdict']}**"]
    parts += [comparison["evidence"]]
    for finding in comparison["audit"]:
        values = "; ".join(f"{label}: {value}" for label, value in finding["values"].items())
        parts.append(f"- *{finding['grade']}*: {finding['field']} ({values}): {finding['why']}")
    for entry in comparison["left_out"]:
        parts.append(f"- *left out*: `{entry['path']}`: {entry['reason']}")
    parts += ["## Leaderboard", markdown_table(leaderboard_rows(comparison))]
    if comparison["pairs"]:
        parts += ["## Pairs", markdown_table(pair_rows(comparison))]
    parts += ["## Classes, IoU (%)", markdown_table(class_rows(comparison))]
    parts += [method(comparison), "## Made by"]
    parts += ["\n".join(f"- {source.sentence()}" for source in sources(comparison))]
    prints = ", ".join(f"{split} {value}" for split, value in comparison["fingerprint"].items())
    parts += [f"Fingerprint of the data: {prints}."]
    return "\n\n".join(parts) + "\n"


def method(comparison: Mapping[str, Any]) -> str:
    """What the numbers are, in a paragraph."""
    groups = comparison["num_groups"]
    return (
        f"{comparison['num_images']} {comparison['split']} images in {groups} "
        f"group{'s' * (groups != 1)}; label protocol {comparison['label_protocol']}; absent "
        f"classes: {comparison['absent_classes']}. mIoU from summed confusion matrices. "
        f"{comparison['resampling']} {comparison['replicates']:,} replicates, the same for all "
        "models; intervals from seed variance plus image variance with Student's t; p values "
        "corrected by Holm over all pairs; class intervals corrected over the classes."
    )


def latex(comparison: Mapping[str, Any]) -> str:
    """The leaderboard and the pairs as booktabs tables."""
    rows = leaderboard_rows(comparison)
    text = _latex_table(rows, f"{comparison['study']}: {method(comparison)}")
    if comparison["pairs"]:
        text += "\n" + _latex_table(
            pair_rows(comparison), f"{comparison['verdict']} {comparison['evidence']}"
        )
    return text


def write_csv(rows: Sequence[Row], file: Path) -> None:
    """Writes rows with their header."""
    with file.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows(rows)


def markdown_table(rows: Sequence[Row]) -> str:
    """Rows with their header as Markdown; all columns but the first to the right."""
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    align = "|" + "---|" + "---:|" * (len(rows[0]) - 1)
    return "\n".join([lines[0], align, *lines[1:]])


def _latex_table(rows: Sequence[Row], caption: str) -> str:
    lines = [" & ".join(_escape(cell) for cell in row) + r" \\" for row in rows]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{_escape(caption)}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}",
            r"    \toprule",
            f"    {lines[0]}",
            r"    \midrule",
            *(f"    {line}" for line in lines[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _escape(text: str) -> str:
    for old, new in (("\\", r"\textbackslash{}"), ("_", r"\_"), ("%", r"\%"), ("&", r"\&"),
                     ("#", r"\#"), ("−", "$-$"), ("–", "--"), ("<", "$<$")):  # fmt: skip
        text = text.replace(old, new)
    return text
