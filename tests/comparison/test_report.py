"""The report of a comparison: its page, figures and tables."""

import csv
import html
import json
import re
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segbench.comparison import plots, tables
from segbench.comparison.comparison import compare_runs
from segbench.comparison.options import Options
from segbench.comparison.study import read_study
from tests.comparison.fabricated import NAMES, edit, write_study

FAST = Options(replicates=200)


@pytest.fixture(scope="module")
def page(study_path, comparison, write) -> Path:
    return write(study_path, comparison)


class Links(HTMLParser):
    """Collects every address in a page."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag, attrs):
        for key, value in attrs:
            if key in ("href", "src", "xlink:href", "srcset", "data"):
                self.found.append(value)
            if key == "id":
                self.ids.add(value)


def test_json_contains_everything_and_no_nan(page):
    def refuse(name):
        raise AssertionError(name)

    found = json.loads((page.parent / "comparison.json").read_text(), parse_constant=refuse)
    assert {"verdict", "leaderboard", "pairs", "audit", "runs", "by_group"} <= set(found)
    assert len(found["runs"]) == 9
    assert found["runs"][0]["commit"].startswith("a9ee35c")


def test_every_link_works_and_nothing_is_requested_from_elsewhere(page):
    links = Links()
    text = page.read_text()
    links.feed(text)
    for address in links.found:
        if address.startswith("data:"):
            continue
        if address.startswith("#"):
            assert address[1:] in links.ids, address
        else:
            assert (page.parent / address).is_file(), address
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "<script" not in text


def test_the_page_names_each_run_with_commit_and_command(page):
    text = page.read_text()
    for seed in (0, 1, 2):
        assert f"python -m segbench.train study=custom_vs_unet model=fcn seed={seed}" in text
        assert f'href="../fcn-streets/seed{seed}/config.yaml"' in text
    assert "a9ee35c00" in text


def test_names_from_files_cannot_inject_markup(tmp_path, write):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    for run in path.glob("*/seed*"):
        edit(run, "command", "<script>alert(1)</script>")
    text = write(path, compare_runs(read_study(path), FAST)).read_text()
    assert "<script" not in text


def test_predictions_become_images_and_a_map_of_disagreement(tmp_path, write):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=1)
    found = compare_runs(read_study(path), FAST)
    for run in path.glob("*/seed*"):
        for image in (*found["images"]["wins"], *found["images"]["losses"]):
            file = run / "predictions" / f"{image['name']}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((20, 40), "unet" in run.parent.name, np.uint8)).save(file)
    text = write(path, found).read_text()
    assert text.count('alt="where they differ"') == 4 + len(found["images"]["losses"])


def test_times_of_two_machines_get_a_panel_each(study_path, comparison):
    figure = plots.figures(read_study(study_path), comparison)["cost"]
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert sum("GPU A" in label for label in labels) == 1
    assert sum("GPU B" in label for label in labels) == 1
    assert sum("parameters" in label for label in labels) == 1
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == [*plots.look(comparison)]
    for mark in legend.legend_handles:
        assert mark.get_markerfacecolor() != "none", "a model may be dominated in one panel only"


def test_every_figure_has_labeled_axes(study_path, comparison):
    drawn = plots.figures(read_study(study_path), comparison)
    confusions = {"confusion", "confusion_first", "confusion_second"}
    assert set(drawn) == {"leaderboard", "cost", "classes", "curves", *confusions}
    for name in ("cost", "curves", *confusions):
        for axes in drawn[name].axes:
            assert axes.get_ylabel() or axes.get_label() == "<colorbar>", name
    for name in confusions:
        assert len(drawn[name].axes[0].texts) >= len(NAMES), "numbers in the cells"
    assert drawn["leaderboard"].axes[0].get_xlabel()


def test_tables_agree_with_each_other(page, comparison):
    with (page.parent / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, found in zip(rows, comparison["leaderboard"], strict=True):
        for name in ("mIoU", "mDice", "params", "pixel_acc", "sd"):
            assert float(row[name]) == pytest.approx(found.get(name))
        assert [float(row[name]) for name in ("low", "high")] == pytest.approx(found["interval"])
    markdown = (page.parent / "report.md").read_text()
    latex = (page.parent / "tables.tex").read_text()
    for cells in tables.leaderboard(comparison).texts():
        assert cells[1] in markdown
        assert cells[1] in latex
        assert cells[6] in page.read_text()
    for name in ("leaderboard", "pairs", "classes", "classes-dice"):
        assert rf"\label{{tab:custom-vs-unet-{name}}}" in latex
    assert "_" not in re.sub(r"\\_|%.*", "", latex)


def test_every_column_is_explained(page, comparison):
    text = page.read_text()
    for column in (*tables.leaderboard(comparison).columns, *tables.pairs(comparison).columns):
        assert column.help
    for column in (*tables.leaderboard(comparison).columns[2:], *tables.pairs(comparison).columns):
        assert f'title="{html.escape(column.help)}"'.replace("&#x27;", "&#39;") in text


def test_thirty_models_are_told_apart_and_the_verdict_stands_before_435_pairs():
    labels = [f"m{i}" for i in range(30)]
    found = {
        "leaderboard": [{"label": label} for label in labels],
        "pairs": [{"a": a, "b": b} for a, b in combinations(labels, 2)],
        "baseline": None,
    }
    assert len(set(plots.look(found).values())) == 30
    assert len(plots.COLORS) * len(plots.LINES) >= 30
    assert [pair["a"] for pair in tables.first_pairs(found)] == ["m0"] * 29
    found["baseline"] = "m7"
    assert all("m7" in pair.values() for pair in tables.first_pairs(found))
    few = {**found, "pairs": found["pairs"][:15]}
    assert len(tables.first_pairs(few)) == 15
