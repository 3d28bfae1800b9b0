"""Writes a comparison as Markdown, LaTeX and CSV files."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.comparison import domination, margin_report, more_metrics, robustness, tables
from segbench.comparison.entrants import HEADLINES
from segbench.comparison.reproduce import comparison_command, origins
from segbench.comparison.tables import Table
from segbench.system.escaping import csv_cell, latex, markdown, markdown_code


def markdown_report(comparison: Mapping[str, Any]) -> str:
    """The comparison as Markdown, for a README or an issue."""
    parts = [f"# {markdown(comparison['study'])}", f"**{markdown(comparison['verdict'])}**"]
    parts += [markdown(comparison["evidence"])]
    for finding in comparison["audit"]:
        values = "; ".join(f"{label}: {value}" for label, value in finding["values"].items())
        text = markdown(f"{finding['field']} ({values}): {finding['why']}")
        parts.append(f"- *{finding['grade']}*: {text}")
    for entry in comparison["left_out"]:
        reason = markdown(entry["reason"])
        parts.append(f"- *left out*: {markdown_code(entry['path'])}: {reason}")
    parts += ["## Leaderboard", markdown_of(tables.leaderboard(comparison))]
    if comparison["margin"]:
        parts += ["## Margin", markdown_of(margin_report.table(comparison))]
        parts += [markdown(margin_report.summary(comparison))]
    if comparison["metrics"]:
        parts += ["## Metrics", markdown_of(more_metrics.table(comparison))]
        parts += [note] if (note := more_metrics.note(comparison)) else []
    if comparison["robustness"]:
        parts += ["## Corrupted images", markdown(robustness.sentence(comparison))]
        parts += [markdown_of(robustness.table(comparison))]
    for title, table in domination.tables(comparison).items():
        parts += [f"## Accuracy and {markdown(title)}", markdown_of(table)]
    if comparison["pairs"]:
        parts += ["## Pairs", markdown_of(tables.pairs(comparison))]
    for metric in _shown_metrics(comparison):
        parts += [f"## Classes, {HEADLINES[metric]} (%)"]
        parts += [markdown_of(tables.classes(comparison, metric))]
    if groups := tables.groups(comparison):
        parts += ["## Groups", markdown_of(groups)]
    parts += [markdown(tables.method(comparison)), "## Provenance"]
    parts += ["\n".join(f"- {origin.sentence()}" for origin in origins(comparison))]
    prints = ", ".join(f"{split} {value}" for split, value in comparison["fingerprint"].items())
    parts += [f"Data fingerprint: {markdown(prints)}."]
    if comparison["options"] is not None:
        parts += [f"Compared by {markdown_code(comparison_command(comparison))}."]
    return "\n\n".join(parts) + "\n"


def _shown_metrics(comparison: Mapping[str, Any]) -> list[str]:
    """The tested metric first, and the other one if available."""
    found = tables.tested_by_class(comparison)
    return found if tables.has_dice(comparison) else found[:1]


def markdown_of(table: Table) -> str:
    """A table as Markdown; its cells may contain any text."""
    cells = [[markdown(cell) for cell in row] for row in [table.heads, *table.texts()]]
    return markdown_table(cells, [column.is_text for column in table.columns])


def markdown_table(rows: Sequence[Sequence[str]], is_text: Sequence[bool] = (True,)) -> str:
    """Formats rows, whose cells are already Markdown, with their header.

    Args:
        rows: the header first.
        is_text: for each column, whether it is aligned to the left; otherwise to the right.
    """
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    marks = [*is_text, *[False] * (len(rows[0]) - len(is_text))]
    align = "|" + "".join("---|" if left else "---:|" for left in marks)
    return "\n".join([lines[0], align, *lines[1:]])


def write_csv(table: Table, file: Path) -> None:
    """Writes numbers as fractions; escapes text that a spreadsheet would treat as a formula."""
    with file.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([csv_cell(cell) for cell in row] for row in table.values())


def class_values(comparison: Mapping[str, Any]) -> Table:
    """The class table of a CSV file: all metrics side by side."""
    found = [tables.classes(comparison, metric) for metric in _shown_metrics(comparison)]
    columns = [*found[0].columns, *(column for table in found[1:] for column in table.columns[1:])]
    return Table(tuple(columns), found[0].rows)


def latex_tables(comparison: Mapping[str, Any]) -> str:
    """Leaderboard, pairs and classes as booktabs tables; the method as a comment.

    The best score is bold only if the corrected test separates it from the second.
    """
    metric, study = comparison["metric"], comparison["study"]
    best = tables.separated(comparison)

    def bold_model(row: Any, column: int) -> bool:
        return row["label"] == best and column == 1

    board = _columns(tables.leaderboard(comparison), {"SD over seeds", "P(rank 1)"})
    caption = f"{metric} with {tables.level(comparison)}, on {comparison['num_images']} "
    caption += f"{comparison['split']} images of {comparison['label_protocol']}."
    parts = ["% needs \\usepackage{booktabs}", f"% {latex(tables.method(comparison))}"]
    parts += [latex_table(board, caption, f"{study}-leaderboard", bold_model)]
    if comparison["pairs"]:
        narrow = _columns(tables.pairs(comparison), {"effect (SDs)"})
        caption = f"Pairwise differences of {metric}; p values with Holm correction."
        parts += [latex_table(narrow, caption, f"{study}-pairs")]
    if comparison["margin"]:
        found = comparison["margin"]
        narrow = _columns(margin_report.table(comparison), {"needed for the margin"})
        caption = f"Non-inferiority and equivalence of {metric} against {found['baseline']} within "
        caption += f"{found['points']:g} points (two one-sided tests). {found['note']}"
        parts += [latex_table(narrow, caption, f"{study}-margin")]
    if comparison["metrics"]:
        caption = (
            "Further metrics with their intervals; p values corrected by Holm over the metrics."
        )
        narrow = _columns(more_metrics.table(comparison), {"verdict"})
        caption += f" {more_metrics.note(comparison)}".rstrip()
        parts += [latex_table(narrow, caption, f"{study}-metrics")]
    if comparison["robustness"]:
        parts += [latex_table(robustness.table(comparison), robustness.sentence(comparison),
                              f"{study}-robustness")]  # fmt: skip
    if groups := tables.groups(comparison):
        caption = f"{metric} (%) by group of images, and the difference with its interval."
        parts += [latex_table(groups, caption, f"{study}-groups")]
    models = {"class", *(row["label"] for row in comparison["leaderboard"])}
    for shown in _shown_metrics(comparison):
        table = tables.classes(comparison, shown)
        table = _columns(table, set(table.heads) - models)
        caption = f"{HEADLINES[shown]} per class (%), mean over seeds."
        name = f"{study}-classes" + ("" if shown == metric else f"-{HEADLINES[shown].lower()}")
        bold = _bold_class(comparison, table) if shown == metric else None
        parts += [latex_table(table, caption, name, bold)]
    return "\n".join(parts)


def _bold_class(comparison: Mapping[str, Any], table: Table) -> Callable[[Any, int], bool]:
    best = {row: tables.separated(comparison, row) for row in table.rows}
    return lambda row, column: column > 0 and table.heads[column] == best[row]


def _columns(table: Table, without: set[str]) -> Table:
    return Table(tuple(c for c in table.columns if c.head not in without), table.rows)


def latex_table(
    table: Table, caption: str, name: str, is_bold: Callable[[Any, int], bool] | None = None
) -> str:
    """One booktabs table; `is_bold` says of a row and a column whether the cell is bold."""
    lines = []
    for row, cells in zip(table.rows, table.texts(), strict=True):
        shown = [
            rf"\textbf{{{latex(cell)}}}" if is_bold is not None and is_bold(row, i) else latex(cell)
            for i, cell in enumerate(cells)
        ]
        lines.append("    " + " & ".join(shown) + r" \\")
    align = "".join("l" if column.is_text else "r" for column in table.columns)
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{latex(caption)}}}",
            rf"  \label{{tab:{re.sub(r'[^A-Za-z0-9:-]+', '-', name)}}}",
            rf"  \begin{{tabular}}{{{align}}}",
            r"    \toprule",
            "    " + " & ".join(latex(head) for head in table.heads) + r" \\",
            r"    \midrule",
            *lines,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )
