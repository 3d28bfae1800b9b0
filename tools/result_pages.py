"""The result tables of the pages and the reports in experiments/results, as text.

Between these marks, a page shows what is generated from the published comparisons and costs:

    <!-- results -->                      the list of studies
    <!-- results of NAME -->              the verdict and the leaderboard of one study
    <!-- costs -->                        the costs measured in results/costs, see costs.py
    <!-- end of results -->               end of each

`make results` writes them, see publish.py.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import costs

from segbench.artifacts.provenance import commit_in_words
from segbench.artifacts.result import Hardware
from segbench.artifacts.typed import read_as
from segbench.comparison import across_report, across_tables, formats, tables
from segbench.comparison.reproduce import span
from segbench.comparison.wording import score_interval
from segbench.metrics.scores import percent
from segbench.system.escaping import markdown

PAGES = ("README.md", "experiments/README.md", "docs/which-model.md")
MARKS = re.compile(
    r"(<!-- (?:results(?: of (?P<study>[^\n]+?))?|(?P<costs>costs)) -->\n)"
    r".*?(<!-- end of results -->)",
    re.DOTALL,
)
# What comparisons published with an earlier schema do not contain.
EARLIER = {
    "margin": None, "metrics": [], "domination": [], "robustness": None, "approximate": False,
    "audits": {}, "options": None,
}  # fmt: skip


def rendered(root: Path) -> dict[Path, str]:
    """Every file that is generated from the published comparisons, with its expected text.

    Raises:
        ValueError: a report without its data, or a mark for a study that is not published, or a
            comparison over studies of which one is not published.
    """
    results = root / "experiments/results"
    studies = {
        file.stem: EARLIER | json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(results.glob("*.json"))
    }
    pages = {results / f"{name}.md": _report(found, studies) for name, found in studies.items()}
    for file in sorted(results.glob("*.md")):
        if file not in pages:
            raise ValueError(f"{file}: {file.stem}.json is missing; publish the study again")

    for page in (root / name for name in PAGES):

        def filled(match: re.Match[str], page: Path = page) -> str:
            if match["costs"]:
                return (
                    f"{match[1]}{costs.section(sorted(results.glob('costs/*.json')))}\n{match[4]}"
                )
            name = match["study"]
            if name is not None and name not in studies:
                raise ValueError(
                    f"{page}: shows the results of {name}, but {results / name}.json does not "
                    f"exist; published studies: {', '.join(studies) or 'none'}"
                )
            links = {study: _link(study, results, page) for study in studies}
            text = _list(studies, links) if name is None else _one(studies[name], links[name])
            return f"{match[1]}{text}\n{match[4]}"

        pages[page] = MARKS.sub(filled, page.read_text(encoding="utf-8"))
    return pages


def name_of(found: Mapping[str, Any]) -> str:
    """The name of a study, or of a comparison over several, as that of its folder in runs/."""
    return "+".join(found.get("studies") or [found["study"]])


def _report(found: Mapping[str, Any], studies: Mapping[str, Any]) -> str:
    """The Markdown of a comparison; over several studies, with links to each."""
    if "studies" not in found:
        return formats.markdown_report(found)
    if unknown := [name for name in found["studies"] if name not in studies]:
        raise ValueError(
            f"{name_of(found)}: not published: {', '.join(unknown)}; publish them first"
        )
    links = ", ".join(f"[{markdown(n)}]({quote(n, safe='+')}.md)" for n in found["studies"])
    return f"{across_report.markdown_report(found)}\nRuns, commands and machines: {links}.\n"


def _link(study: str, results: Path, page: Path) -> str:
    address = Path(os.path.relpath(results / f"{study}.md", page.parent)).as_posix()
    return f"[{markdown(study)}]({quote(address, safe='/+')})"


def _list(studies: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """One row per study."""
    rows = [["study", "test score (%), interval", "seeds", "verdict", "commit, hardware"]]
    for name, found in studies.items():
        if "studies" in found:
            rows.append(_several(found, links[name]))
            continue
        scores = [markdown(f"{row['label']} {percent(row['value'])} ({score_interval(row)})")
                  for row in found["leaderboard"]]  # fmt: skip
        seeds = {span(row["seeds"]): None for row in found["leaderboard"]}
        origins = {
            markdown(f"{commit_in_words(run)}, {read_as(Hardware, run['hardware'] or {})}"): None
            for run in found["runs"]
        }
        rows.append([links[name], "<br>".join(scores), "; ".join(seeds), markdown(found["verdict"]),
                     "<br>".join(origins)])  # fmt: skip
    return formats.markdown_table(rows) if studies else "None yet."


def _several(found: Mapping[str, Any], link: str) -> list[str]:
    """The row of a comparison over several studies."""
    names = found["studies"]
    scores = [
        markdown(f"{cells[0]}: {score}, {name}")
        for cells in across_tables.score_table(found).texts()
        for name, score in zip(names, cells[1 : 1 + len(names)], strict=True)
    ]
    elsewhere = "those of each study"
    return [link, "<br>".join(scores), elsewhere, markdown(found["verdict"]), elsewhere]


def _one(found: Mapping[str, Any], link: str) -> str:
    """The verdict and the leaderboard of one study, and links to the rest."""
    several = "studies" in found
    board = formats.markdown_of(
        across_tables.score_table(found) if several else tables.leaderboard(found)
    )
    words = f"**{markdown(found['verdict'])}** {markdown(found['evidence'])}"
    return f"{words}\n\n{board}\n\nFull report: {link}."
