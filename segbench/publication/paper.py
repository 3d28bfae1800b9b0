"""Writes the folder of a paper: main.tex, tables, figures as PDF, references, and the data.

Of one study the files are tables.tex, comparison.json and figures/NAME.pdf; of several they begin
with the number of the study, and there are across.tex and across.json over all of them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from segbench.artifacts.public_copy import copy_runs, public_text, public_values
from segbench.artifacts.result import Result
from segbench.comparison import across_report, plots, style
from segbench.comparison.content import write_json
from segbench.comparison.reproduce import comparison_command
from segbench.comparison.study import Study
from segbench.publication import compute, references
from segbench.publication.checklist import Evidence
from segbench.publication.document import Chapter, across_tables, appendix, main_tex, study_tables
from segbench.system.storage import replacing_all, write_text

FIGURES = ("leaderboard", "cost", "classes", "curves")
RANKS = "ranks"


@dataclass(frozen=True)
class Paper:
    """What a paper is about.

    Args:
        studies: their runs; several ones are data sets.
        comparisons: of each study, see `comparison.compare_runs`.
        across: over all of them, see `across_report.compare_studies`; None for a single one.
        tuning: the studies that tuned the values.
    """

    studies: Sequence[Study]
    comparisons: Sequence[Mapping[str, Any]]
    across: Mapping[str, Any] | None = None
    tuning: Sequence[Path] = ()

    @property
    def chapters(self) -> list[Chapter]:
        """One per study, with the names of its files."""
        number = len(self.studies)
        prefixes = [f"{i}-" if number > 1 else "" for i in range(1, number + 1)]
        return [Chapter(*pair) for pair in zip(prefixes, self.comparisons, strict=True)]

    @cached_property
    def evidence(self) -> Evidence:
        """The records of all runs, and the time they took."""
        found: dict[tuple[str, str, str, int, str], Result] = {}
        for study in self.studies:
            for r in compute.with_trainings(study.path, compute.records(study.path)):
                found[r.kind, r.study, r.name, r.seed, r.status] = r
        tuned = [result for study in self.tuning for result in compute.records(study)]
        results = list(found.values())
        compared = [
            run.result for study in self.studies for runs in study.runs.values() for run in runs
        ]
        return Evidence(self.comparisons, results, compute.spent(results, tuned), compared)


def write_paper(paper: Paper, folder: Path, document_class: str = "article") -> Path:
    """Writes everything; returns main.tex.

    Args:
        paper: what it is about.
        folder: where it goes.
        document_class: one of `document.CLASSES`.
    """
    drawn = {RANKS: across_report.rank_figure(paper.across)} if paper.across else {}
    for study, chapter in zip(paper.studies, paper.chapters, strict=True):
        found = plots.figures(study, chapter.comparison)
        drawn |= {chapter.prefix + name: found[name] for name in FIGURES if name in found}
    figures = {name: figure for name, figure in drawn.items() if figure is not None}
    cited = references.methods(paper.comparisons, paper.across)
    texts = {f"{c.prefix}tables.tex": study_tables(c.comparison) for c in paper.chapters}
    texts |= {"across.tex": across_tables(paper.across)} if paper.across else {}
    texts["references.bib"] = references.bibliography(paper.evidence.results, cited)
    texts["checklist.tex"] = appendix(paper.evidence)
    texts["main.tex"] = main_tex(paper.chapters, paper.across, list(figures), cited,
                                 "".join(texts.values()), document_class)  # fmt: skip
    with replacing_all(folder) as draft:
        (draft / "figures").mkdir()
        for name, figure in figures.items():
            with style.style():
                figure.savefig(draft / f"figures/{name}.pdf", metadata={"CreationDate": None})
        for name, text in texts.items():
            write_text(draft / name, text)
        for chapter in paper.chapters:
            write_json(
                public_values(chapter.comparison), draft / f"{chapter.prefix}comparison.json"
            )
        if paper.across:
            write_json(public_values(paper.across), draft / "across.json")
        _pack(paper, draft / "data.zip")
    return folder / "main.tex"


def _pack(paper: Paper, file: Path) -> None:
    """Configs, results and counts: what `compare` makes the same tables of."""
    with TemporaryDirectory() as folder:
        for study in paper.studies:
            places = [run.path for runs in study.runs.values() for run in runs]
            names = [place.relative_to(study.path).as_posix() for place in places]
            copy_runs(study.path, names, Path(folder) / "runs" / study.path.name)
        comparisons = [*paper.comparisons, *([paper.across] if paper.across else [])]
        commands = "".join(f"    {comparison_command(found)}\n" for found in comparisons)
        readme = f"Unpack here and run\n\n{public_text(commands)}"
        (Path(folder) / "README.txt").write_text(readme, encoding="utf-8")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in sorted(file for file in Path(folder).rglob("*") if file.is_file()):
                archive.write(part, part.relative_to(folder).as_posix())
