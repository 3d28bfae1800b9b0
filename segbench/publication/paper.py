"""Writes the folder of a paper: main.tex, tables, figures as PDF, references, and the data."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.artifacts.result import Result
from segbench.comparison import formats, margin_report, more_metrics, plots, tables
from segbench.comparison.content import write_json
from segbench.comparison.domination import tables as cost_tables
from segbench.comparison.study import Study
from segbench.publication import checklist
from segbench.publication.references import ALWAYS, bibliography
from segbench.system.escaping import latex
from segbench.system.storage import replacing_all, write_text

PACKED = ("config.yaml", "result.json", "confusion.npz", "metrics.csv")
CLASSES = {"article": r"\documentclass[11pt]{article}", "llncs": r"\documentclass{llncs}"}
FIGURES = ("leaderboard", "cost", "classes", "curves")


def write_paper(
    study: Study, comparison: Mapping[str, Any], folder: Path, document_class: str = "article"
) -> Path:
    """Writes everything; returns main.tex.

    Args:
        study: the runs.
        comparison: see `comparison.compare_runs`.
        folder: where it goes.
        document_class: one of `CLASSES`.
    """
    results = checklist.records(study.path)
    figures = plots.figures(study, comparison)
    with replacing_all(folder) as draft:
        (draft / "figures").mkdir()
        for name in FIGURES:
            if name in figures:
                with plots.style():
                    figures[name].savefig(
                        draft / f"figures/{name}.pdf", metadata={"CreationDate": None}
                    )
        write_text(draft / "tables.tex", paper_tables(comparison))
        write_text(draft / "references.bib", bibliography(results))
        write_text(draft / "checklist.tex", checklists(comparison, results))
        write_json(comparison, draft / "comparison.json")
        drawn = [name for name in FIGURES if name in figures]
        write_text(draft / "main.tex", main_tex(comparison, drawn, document_class))
        _pack(study, draft / "data.zip")
    return folder / "main.tex"


def paper_tables(comparison: Mapping[str, Any]) -> str:
    """Main table, classes, and where there are any margin, further metrics and efficiency."""
    parts = [formats.latex_tables(comparison)]
    for title, found in cost_tables(comparison).items():
        caption = f"Efficiency: {title}, against {comparison['metric']} with its interval. "
        caption += "Dominated: another model costs no more and is better, both beyond doubt."
        parts.append(formats.latex_table(found, caption, f"{comparison['study']}-{title}"))
    return "\n".join(parts)


def methods(comparison: Mapping[str, Any]) -> str:
    """The paragraph on how models were compared."""
    text = tables.method(comparison)
    if comparison["margin"]:
        text += " " + margin_report.summary(comparison)
    if comparison["metrics"]:
        told = "; ".join(f"{name}: {help}" for name, help in more_metrics.definitions(comparison))
        text += f" Further metrics: {told}."
    return text


def main_tex(
    comparison: Mapping[str, Any], figures: Sequence[str], document_class: str = "article"
) -> str:
    """The document: abstract-like verdict, methods, tables, figures, checklists."""
    cited = ",".join(ALWAYS)
    shown = [
        "\n".join([
            r"\begin{figure}", r"  \centering",
            rf"  \includegraphics[width=\linewidth]{{figures/{name}.pdf}}",
            rf"  \caption{{{latex(_caption(name, comparison))}}}", r"\end{figure}",
        ])
        for name in figures
    ]  # fmt: skip
    return "\n".join(
        [
            CLASSES[document_class],
            r"\usepackage[T1]{fontenc}", r"\usepackage[utf8]{inputenc}",
            r"\usepackage{textcomp}", r"\usepackage{booktabs}", r"\usepackage{graphicx}",
            r"\DeclareUnicodeCharacter{2212}{\ensuremath{-}}",
            r"\DeclareUnicodeCharacter{2191}{\ensuremath{\uparrow}}",
            r"\DeclareUnicodeCharacter{2193}{\ensuremath{\downarrow}}",
            rf"\title{{{latex(comparison['study'])}}}", r"\author{}", r"\begin{document}",
            r"\maketitle", "",
            latex(comparison["verdict"] + " " + comparison["evidence"]), "",
            r"\section{Methods}", latex(methods(comparison)) + rf"~\cite{{{cited}}}", "",
            r"\section{Results}", r"\input{tables}", *shown, "",
            r"\appendix", r"\input{checklist}",
            r"\nocite{*}", r"\bibliographystyle{plain}", r"\bibliography{references}",
            r"\end{document}", "",
        ]
    )  # fmt: skip


def _caption(name: str, comparison: Mapping[str, Any]) -> str:
    bars = f"bars are {100 * comparison['confidence']:g}% intervals over seeds and images"
    return {
        "leaderboard": f"{comparison['metric']} of each model; {bars}; ticks are single seeds.",
        "cost": f"{comparison['metric']} and cost; {bars}; hollow: dominated.",
        "classes": "Difference by class in points; * = significant after Holm's correction.",
        "curves": "Learning curves, mean over seeds.",
    }[name]


def checklists(comparison: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Both checklists as LaTeX lists."""
    parts = []
    for title, items in (
        ("NeurIPS checklist: experiments", checklist.neurips(comparison, results)),
        ("MICCAI reproducibility checklist", checklist.miccai(comparison, results)),
    ):
        parts += [rf"\section{{{title}}}", r"\begin{description}"]
        parts += [rf"  \item[{{{latex(i.question)}}}] {latex(i.answer)}" for i in items]
        parts += [r"\end{description}", ""]
    return "\n".join(parts)


def _pack(study: Study, file: Path) -> None:
    """Configs, results and counts: what `compare` makes the same tables of."""
    name = study.path.name
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for runs in study.runs.values():
            for run in runs:
                for part in PACKED:
                    if (run.path / part).is_file():
                        place = run.path.relative_to(study.path).as_posix()
                        archive.write(run.path / part, f"runs/{name}/{place}/{part}")
        if (study.path / "benchmark.json").is_file():
            archive.write(study.path / "benchmark.json", f"runs/{name}/benchmark.json")
        command = f"python -m segbench.compare study={name}"
        archive.writestr("README.txt", f"Unpack here and run\n\n    {command}\n")
