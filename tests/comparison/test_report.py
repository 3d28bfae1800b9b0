"""The comparison as values, tables and a page."""

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

from segbench.artifacts.run_directory import RunDirectory
from segbench.comparison import plots, tables, wording
from segbench.comparison.comparison import Options, compare_runs
from segbench.comparison.entrants import Entrant
from segbench.comparison.gallery import gallery
from segbench.comparison.measures import entrants_by
from segbench.comparison.report import write_report
from segbench.comparison.statistics import resample
from segbench.comparison.study import read_study
from segbench.errors import DataError
from segbench.metrics.scores import scores
from tests.comparison.fabricated import COLORS, NAMES, edit, write_study
from tests.comparison.simulation import World

FAST = Options(replicates=200)
COSTS = [
    {"model": "custom", "device": "GPU A", "params": 1e6, "macs": 2e9, "latency_ms": 3.0},
    {"model": "unet-streets", "device": "GPU B", "params": 3e6, "macs": 9e9, "latency_ms": 1.0},
]


@pytest.fixture(scope="module")
def study_path(tmp_path_factory) -> Path:
    skills = {"custom": 0.6, "unet": 0.1, "fcn": 0.1}
    path = write_study(tmp_path_factory.mktemp("runs"), skills, seeds=3)
    (path / "benchmark.json").write_text(json.dumps({"models": COSTS}))
    return path


@pytest.fixture(scope="module")
def comparison(study_path):
    return compare_runs(read_study(study_path), FAST)


@pytest.fixture(scope="module")
def page(study_path, comparison) -> Path:
    return write(study_path, comparison)


def write(path: Path, comparison) -> Path:
    """Writes the report of a study, with its images."""
    study = read_study(path)
    return write_report(study, comparison, gallery(study, comparison))


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


def test_the_leaderboard_recomputes_scores_from_summed_matrices(study_path, comparison):
    row = next(row for row in comparison["leaderboard"] if row["label"] == "unet")
    files = sorted((study_path / "unet-streets").glob("seed*/result.json"))
    stated = [json.loads(file.read_text())["scores"]["test"]["mIoU"] for file in files]
    assert row["scores"] == pytest.approx(stated, abs=1e-12)
    assert row["value"] == pytest.approx(np.mean(stated))
    assert row["sd"] == pytest.approx(np.std(stated, ddof=1))
    assert row["interval"][0] < row["value"] < row["interval"][1]


def test_the_better_model_wins_and_the_sentence_says_so(comparison):
    assert comparison["leaderboard"][0]["label"] == "custom"
    assert comparison["verdict"].startswith("custom is better than ")
    assert "3 seeds each" in comparison["evidence"]


def test_the_baseline_decides_which_pair_the_report_is_about(study_path):
    study = read_study(study_path)
    for baseline in ("unet", "fcn"):
        found = compare_runs(study, Options(baseline=baseline, replicates=200))
        assert f"custom is better than {baseline}" in found["verdict"]
    with pytest.raises(DataError, match=r"baseline=segnet.*custom, fcn, unet"):
        compare_runs(study, Options(baseline="segnet", replicates=200))


def test_one_seed_gets_no_verdict(tmp_path):
    path = write_study(tmp_path, {"custom": 2.0, "unet": 0.0}, seeds=1)
    found = compare_runs(read_study(path), FAST)
    assert found["verdict"].startswith("No verdict: one seed of custom and unet is not enough")
    assert found["leaderboard"][0]["sd"] is None
    assert found["pairs"][0]["improvement"] == [None] * 3
    write(path, found)


def test_one_model_is_reported_without_a_verdict(tmp_path):
    path = write_study(tmp_path, {"custom": 0.0}, seeds=2)
    found = compare_runs(read_study(path), FAST)
    assert "nothing to compare" in found["verdict"]
    assert write(path, found).is_file()


def test_an_invalid_comparison_is_stated_in_the_verdict(tmp_path):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    for seed in (0, 1):
        edit(path / "custom-streets" / f"seed{seed}", "config.weights", "imagenet.pt")
    found = compare_runs(read_study(path), FAST)
    assert "is invalid: the runs differ in pretraining" in found["verdict"]
    text = write(path, found).read_text()
    assert "What invalidates this comparison" in text


def recount(path: Path, change) -> None:
    """Rewrites the matrices of all runs of a study, and their scores, after `change`."""
    for run in path.glob("*/seed*"):
        names, groups, matrices = RunDirectory(run).read_confusion()
        change(matrices, np.array(groups))
        RunDirectory(run).write_confusion(names, groups, matrices)
        edit(run, "scores.test", scores(matrices.sum(axis=0), NAMES))


def test_a_class_that_does_not_occur_is_a_row_of_dashes_and_is_not_corrected_for(tmp_path):
    def drop_poles(matrices, _):
        matrices[:, NAMES.index("pole")] = 0
        matrices[:, :, NAMES.index("pole")] = 0

    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    recount(path, drop_poles)
    study = read_study(path)
    found = compare_runs(study, FAST)
    rows = tables.classes(found).texts()
    row = next(row for row in rows if row[0] == "pole")
    assert row == ["pole"] + 5 * ["–"]
    assert all("–" not in cell for row in rows[:-1] for cell in row[:4])
    drawn = resample(entrants_by(study, "mIoU"), study.first.groups, replicates=200)
    bounds = drawn.difference(0, 1).interval(1 - 0.05 / 5)
    assert found["pairs"][0]["classes"][0]["interval"] == pytest.approx(bounds[0])
    assert "no p value" not in write(study.path, found).read_text()


def test_a_group_without_labels_is_not_tested(tmp_path):
    def blank(matrices, groups):
        matrices[groups == "drive1"] = 0

    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    recount(path, blank)
    study = read_study(path)
    found = compare_runs(study, FAST)
    rows = {row["group"]: row for row in found["by_group"]}
    assert [rows["drive1"][key] for key in ("value", "interval", "p_holm")] == [
        None, [None, None], None,
    ]  # fmt: skip
    inside = np.array(study.first.groups) == "drive0"
    parts = [Entrant(e.name, e.seeds, e.counts[:, inside]) for e in entrants_by(study, "mIoU")]
    alone = resample(parts, ["drive0"] * 16, unit="block", replicates=200).difference(0, 1)
    assert rows["drive0"]["interval"] == pytest.approx(alone.interval(1 - 0.05 / 2)[-1])
    text = write(study.path, found).read_text()
    assert "– to –" not in text


def test_independent_images_are_not_called_groups_or_blocks(tmp_path):
    world = World(groups=48, frames=1, taste_sd=0.2)
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2, world=world)
    found = compare_runs(read_study(path), FAST)
    assert found["unit"] == "image"
    text = write(path, found).read_text()
    assert "48 images, assumed independent" in text
    assert "set data.group_regex" in text
    assert "Whole " not in text


def test_decisive_images_really_differ(comparison):
    wins = comparison["images"]["wins"]
    assert [image["gain"] for image in wins] == sorted((i["gain"] for i in wins), reverse=True)
    assert all(image["pixel_acc"][0] > image["pixel_acc"][1] for image in wins)


def test_boundaries_are_compared_where_all_runs_counted_them(tmp_path):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    assert "boundary" not in compare_runs(read_study(path), FAST)
    for run in path.glob("*/seed*"):
        names, groups, matrices = RunDirectory(run).read_confusion()
        hit = np.diagonal(matrices, axis1=1, axis2=2)
        share = 0.6 if "custom" in run.parent.name else 0.5
        bands = np.stack([(share * hit).astype(np.int64), hit], axis=1)
        np.savez(run / "confusion.npz", names=names, groups=groups, matrices=matrices,
                 boundary=bands)  # fmt: skip
    found = compare_runs(read_study(path), FAST)["boundary"]
    assert found["value"] == pytest.approx(0.1, abs=0.001)


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


def test_names_from_files_cannot_inject_markup(tmp_path):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    for run in path.glob("*/seed*"):
        edit(run, "command", "<script>alert(1)</script>")
    text = write(path, compare_runs(read_study(path), FAST)).read_text()
    assert "<script" not in text


def test_predictions_become_images_and_a_map_of_disagreement(tmp_path):
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


def test_classes_and_colors_of_the_fixture_match():
    assert len(NAMES) == len(COLORS)


def test_only_a_difference_that_the_test_confirms_is_bold(tmp_path):
    for skill, is_clear in ((1.0, True), (0.0, False)):
        path = write_study(tmp_path, {"custom": skill, "unet": 0.0}, seeds=3, name=f"s{skill}")
        found = compare_runs(read_study(path), FAST)
        latex = (write(path, found).parent / "tables.tex").read_text()
        board = latex[latex.index("leaderboard}") : latex.index("end{table}")]
        assert (r"\textbf" in board) == is_clear


def test_dice_can_be_the_tested_metric(tmp_path):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    iou, dice = (compare_runs(read_study(path), Options(metric=metric, replicates=200))
                 for metric in ("mIoU", "mDice"))  # fmt: skip
    for mine, other in zip(dice["leaderboard"], iou["leaderboard"], strict=True):
        stated = [json.loads(file.read_text())["scores"]["test"]["mDice"]
                  for file in path.glob(f"{mine['label']}-streets/seed*/result.json")]  # fmt: skip
        assert mine["value"] == pytest.approx(np.mean(stated))
        assert (mine["mIoU"], other["mDice"]) == pytest.approx((other["value"], mine["value"]))
    assert "points of mDice" in dice["verdict"]
    assert tables.leaderboard(dice).heads[1] == "mDice (%)"
    text = write(path, dice).read_text()
    assert "Dice per class" in text
    assert "points of mIoU" not in text


def test_an_interval_excludes_impossible_values(tmp_path):
    world = World(groups=3, frames=16, seed_sd=3.0)
    path = write_study(tmp_path, {"custom": 0.3, "unet": 0.0}, seeds=2, world=world)
    found = compare_runs(read_study(path), FAST)
    intervals = [row["interval"] for row in found["leaderboard"]]
    assert all(0 <= end <= 1 for ends in intervals for end in ends if end is not None)
    pair = found["pairs"][0]
    for ends in [pair["interval"], *(entry["interval"] for entry in pair["classes"])]:
        assert all(end is None or -1 <= end <= 1 for end in ends)
    assert [None, None] in [pair["interval"], *(entry["interval"] for entry in pair["classes"])]
    write(path, found)


def test_two_seeds_without_a_usable_interval_are_reported_as_such(comparison):
    pair = {**comparison["pairs"][0], "interval": [None, None], "verdict": "not distinguishable",
            "has_power": True, "seeds_needed": None, "images_needed": None}  # fmt: skip
    rows = [{**row, "seeds": [0, 1]} for row in comparison["leaderboard"]]
    changed = {**comparison, "pairs": [pair], "headline": 0, "leaderboard": rows, "audit": []}
    evidence = wording.verdict(changed)[1]
    assert "two seeds give no usable 95% interval" in evidence
    assert "more than 100 seeds" in evidence
    assert "would not settle" not in evidence
    pair["has_power"] = False
    assert "fewer than four seeds" in wording.verdict(changed)[1]


def test_small_models_have_parameters(tmp_path):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    for seed in (0, 1):
        edit(path / "custom-streets" / f"seed{seed}", "params", 2866)
    found = compare_runs(read_study(path), FAST)
    assert "2.87 K" in write(path, found).read_text()


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
