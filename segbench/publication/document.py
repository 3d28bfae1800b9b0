"""The LaTeX of a paper: the document, its tables, captions and appendix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segbench.comparison import across_report, formats, margin_report, more_metrics, tables
from segbench.comparison.domination import tables as cost_tables
from segbench.comparison.wording import level
from segbench.publication import checklist, compute
from segbench.publication.checklist import Evidence
from segbench.system.escaping import latex

CLASSES = {
    "article": "\\documentclass[11pt]{article}\n\\usepackage[margin=1in]{geometry}",
    "llncs": r"\documentclass{llncs}",
}
PREAMBLE = (
    r"\usepackage[T1]{fontenc}", r"\usepackage[utf8]{inputenc}", r"\usepackage{textcomp}",
    r"\usepackage{booktabs}", r"\usepackage{graphicx}", r"\usepackage{url}",
    r"\setlength{\belowcaptionskip}{6pt}", r"\emergencystretch=3em",
)  # fmt: skip
MATH = {"−": "-", "↑": r"\uparrow", "↓": r"\downarrow"}
KNOWN = "–—‘’“”…€†‡•"  # beyond Latin, what LaTeX can print by itself
LATIN = 0x180  # characters below it are known
HERE = "[htbp]"  # tables and figures stay close to the text that they belong to
# Tables that are wider than the page are made smaller.
WIDE = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{\begin{tabular}"


@dataclass(frozen=True)
class Chapter:
    """One study: what its files begin with, and its comparison."""

    prefix: str
    comparison: Mapping[str, Any]


def study_tables(comparison: Mapping[str, Any]) -> str:
    """All tables of a study: the report's, and one for each cost."""
    parts = [formats.latex_tables(comparison)]
    for title, found in cost_tables(comparison).items():
        caption = f"Efficiency: {title}, against {comparison['metric']} with its interval. "
        caption += "Dominated: another model costs no more and is better, both beyond doubt."
        parts.append(formats.latex_table(found, caption, f"{comparison['study']}-{title}"))
    return _fitted("\n".join(parts))


def across_tables(across: Mapping[str, Any]) -> str:
    """The tables over all data sets."""
    return _fitted(across_report.latex_tables(across))


def _fitted(text: str) -> str:
    text = text.replace(r"\begin{table}", rf"\begin{{table}}{HERE}\small\tabcolsep=4pt")
    return text.replace(r"\begin{tabular}", WIDE).replace(r"\end{tabular}", r"\end{tabular}}")


def methods(comparison: Mapping[str, Any]) -> str:
    """The paragraph on how the models of a study were compared."""
    text = tables.method(comparison)
    if comparison["margin"]:
        text += " " + margin_report.summary(comparison)
    if comparison["metrics"]:
        told = "; ".join(f"{name}: {help}" for name, help in more_metrics.definitions(comparison))
        text += f" Further metrics: {told}."
    return text


def main_tex(
    chapters: Sequence[Chapter],
    across: Mapping[str, Any] | None,
    figures: Sequence[str],
    cited: Sequence[str],
    others: str = "",
    document_class: str = "article",
) -> str:
    """The document: verdict, methods, tables, figures, checklists.

    Args:
        chapters: one per study.
        across: over all of them, or None.
        figures: their names below figures/.
        cited: keys of the methods.
        others: the text of all other files, whose characters it must declare.
        document_class: one of `CLASSES`.
    """
    first = across or chapters[0].comparison
    title = ", ".join(chapter.comparison["study"] for chapter in chapters)
    body = [latex(f"{first['verdict']} {first['evidence']}"), "", r"\section{Methods}"]
    for chapter in chapters:
        name = f"{chapter.comparison['study']}: " if across else ""
        body += [latex(name + methods(chapter.comparison)), ""]
    body += [latex(across_report.method(across)), ""] if across else []
    body += [rf"Sources:~\cite{{{','.join(cited)}}}.", "", r"\section{Results}"]
    if across:
        body += [
            r"\subsection{All data sets}",
            r"\input{across}",
            *_figure("ranks", figures, across),
            r"\clearpage",
        ]
    for chapter in chapters:
        body += [rf"\subsection{{{latex(chapter.comparison['study'])}}}"] if across else []
        body += [latex(chapter.comparison["verdict"])] if across else []
        body += [rf"\input{{{chapter.prefix}tables}}"]
        for name in ("leaderboard", "cost", "classes", "curves"):
            body += _figure(chapter.prefix + name, figures, chapter.comparison)
        body += [r"\clearpage", ""]
    text = "\n".join([
        rf"\title{{{latex(title)}}}", r"\author{}", r"\begin{document}", r"\maketitle", "", *body,
        r"\appendix", r"\input{checklist}", r"\nocite{*}", r"\bibliographystyle{plain}",
        r"\bibliography{references}", r"\end{document}", "",
    ])  # fmt: skip
    return "\n".join([CLASSES[document_class], *PREAMBLE, *_declared(text + others), text])


def _declared(text: str) -> list[str]:
    """Declarations of the characters that pdfLaTeX does not know; those of other scripts as U+."""
    strange = sorted({char for char in text if ord(char) >= LATIN} - set(KNOWN) - set(MATH))
    found = {char: rf"\ensuremath{{{symbol}}}" for char, symbol in MATH.items()}
    found |= {char: f"[U+{ord(char):04X}]" for char in strange if char.isprintable()}
    lines = [rf"  \DeclareUnicodeCharacter{{{ord(char):04X}}}{{{shown}}}"
             for char, shown in found.items()]  # fmt: skip
    return [r"\ifdefined\DeclareUnicodeCharacter", *lines, r"\fi"]


def _figure(name: str, figures: Sequence[str], comparison: Mapping[str, Any]) -> list[str]:
    if name not in figures:
        return []
    caption = latex(_caption(name.rpartition("-")[2], comparison))
    graphic = rf"  \includegraphics[width=\linewidth]{{figures/{name}.pdf}}"
    return [rf"\begin{{figure}}{HERE}", r"  \centering", graphic, rf"  \caption{{{caption}}}",
            r"\end{figure}"]  # fmt: skip


def _caption(name: str, comparison: Mapping[str, Any]) -> str:
    bars = f"bars are {level(comparison)}s over seeds and images"
    return {
        "ranks": f"Average rank over the data sets (1 = best); {bars} of each.",
        "leaderboard": f"{comparison['metric']} of each model; {bars}; ticks are single seeds.",
        "cost": f"{comparison['metric']} and cost; {bars}; hollow: dominated.",
        "classes": "Difference by class in points; * = significant after Holm's correction.",
        "curves": "Learning curves, mean over seeds.",
    }[name]


def appendix(evidence: Evidence) -> str:
    """Both checklists as LaTeX lists, and the table of compute."""
    parts = []
    for title, items in (
        ("NeurIPS checklist: experiments", checklist.neurips(evidence)),
        ("MICCAI reproducibility checklist", checklist.miccai(evidence)),
    ):
        parts += [rf"\section{{{title}}}", r"\begin{itemize}\sloppy"]
        parts += [rf"  \item \textbf{{{latex(i.question)}.}} {_breakable(i.answer)}" for i in items]
        parts += [r"\end{itemize}", ""]
    caption = (
        f"Time of all runs, those that failed included: {compute.total(evidence.spent):.2f} h."
    )
    table = formats.latex_table(compute.table(evidence.spent), caption, "compute")
    return "\n".join([*parts, _fitted(table)])


def _breakable(text: str) -> str:
    """Text for LaTeX whose names of classes, files and runs may be broken into lines."""
    return re.sub(r"(?<=[^\W\d])(\.|\\_|/|=)(?=\w)", r"\1\\allowbreak{}", latex(text))
