"""Writes `report/` of a study: one self-contained page, tables, figures, comparison.json."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from segbench.comparison import plots, tables, wording
from segbench.comparison.comparison import write_json
from segbench.comparison.gallery import gallery, sheets
from segbench.comparison.study import Study
from segbench.metrics.scores import percent
from segbench.storage import replacing_all, write_text

FIGURES = {
    "leaderboard": "Each model's mIoU",
    "cost": "Accuracy and cost: intervals as bars, the Pareto front dotted",
    "classes": "Class by class: blue where a model is better, orange where it is worse; "
    "* = significant after correction over the classes",
    "curves": "Learning curves: mean over seeds, band from the lowest to the highest seed",
    "confusion": "Where the pixels go: difference of the confusion matrices",
}
FILES = ("config.yaml", "result.json", "metrics.csv", "train.log")


def write_report(study: Study, comparison: Mapping[str, Any]) -> Path:
    """Writes everything.

    Returns:
        The HTML page, `STUDY/report/index.html`.
    """
    folder = study.path / "report"
    figures = plots.figures(study, comparison)
    with replacing_all(folder) as draft:
        (draft / "figures").mkdir()
        for name, figure in figures.items():
            plots.save(figure, draft / "figures" / name)
        svg = {name: Markup(plots.inline_svg(figure)) for name, figure in figures.items()}
        write_json(comparison, draft / "comparison.json")
        write_text(draft / "report.md", tables.markdown(comparison))
        write_text(draft / "tables.tex", tables.latex(comparison))
        tables.write_csv(tables.leaderboard_rows(comparison), draft / "leaderboard.csv")
        tables.write_csv(tables.pair_rows(comparison), draft / "pairs.csv")
        tables.write_csv(tables.class_rows(comparison), draft / "classes.csv")
        write_text(draft / "index.html", _page(study, comparison, svg, folder))
    for old in (folder / "figures").iterdir():
        if old.stem not in figures:  # drawn of runs that are gone
            old.unlink()
    return folder / "index.html"


def _page(
    study: Study, comparison: Mapping[str, Any], svg: Mapping[str, Markup], folder: Path
) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "points": wording.points,
        "bounds": wording.bounds,
        "p_value": wording.p_value,
    }
    pair = None
    if comparison["headline"] is not None:
        pair = comparison["pairs"][comparison["headline"]]
    low, high = _axis(comparison)
    return environment.get_template("report.html.j2").render(
        c=comparison,
        pair=pair,
        axis={"low": low, "high": high},
        at=lambda value: round(100 * (value - low) / (high - low), 2),
        looks={label: color for label, (color, _) in plots.look(comparison).items()},
        svg=svg,
        captions=FIGURES,
        pairs=tables.pair_rows(comparison),
        classes=tables.class_rows(comparison),
        method=tables.method(comparison),
        gallery=gallery(study, comparison),
        sheets=sheets(study, comparison),
        links=lambda run: _links(study.path / run["path"], folder),
        needed=wording.needed,
    )


def _axis(comparison: Mapping[str, Any]) -> tuple[float, float]:
    """Ends of the scale that the intervals of the leaderboard are drawn on, in whole percent."""
    ends = [
        value
        for row in comparison["leaderboard"]
        for value in (*row["interval"], *row["scores"])
        if value is not None
    ]
    low, high = max(0.0, min(ends)), min(1.0, max(ends))
    return int(100 * low) / 100, max(-int(-100 * high // 1), int(100 * low) + 1) / 100


def _links(run: Path, folder: Path) -> list[tuple[str, str]]:
    """Names and relative addresses of the files of a run that exist."""
    relative = Path(os.path.relpath(run, folder)).as_posix()
    return [(name, f"{relative}/{name}") for name in FILES if (run / name).is_file()]
