"""The paper kit: every number is that of comparison.json, and nothing is made up."""

import json
import re
import shutil
import subprocess
import zipfile

import pytest

from segbench.comparison.comparison import Options, compare_runs
from segbench.comparison.study import read_study
from segbench.publication import checklist
from segbench.publication.paper import write_paper
from segbench.publication.references import bibliography, keys_of
from tests.comparison.fabricated import edit, record, write_study

OPTIONS = Options(baseline="unet", margin=1.0, metrics=("mIoU_C",), replicates=200)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    skills = {"custom": 0.6, "unet": 0.1, "fcn_100%": 0.1}
    path = write_study(tmp_path_factory.mktemp("runs"), skills, seeds=3, name="a_b&c")
    costs = [{"model": m, "params": p} for m, p in (("custom", 1e6), ("unet", 3e6))]
    (path / "benchmark.json").write_text(json.dumps({"models": costs}))
    edit(path / "unet-streets/seed2", "status", "failed")
    return read_study(path)


@pytest.fixture(scope="module")
def folder(study):
    write_paper(study, compare_runs(study, OPTIONS), study.path / "paper")
    return study.path / "paper"


def rows(tex: str, label: str) -> list[list[str]]:
    """The cells of the table with this label, as text."""
    table = next(part for part in tex.split(r"\begin{table}") if rf"{{tab:{label}}}" in part)
    body = table.split(r"\midrule")[1].split(r"\bottomrule")[0]
    plain = re.sub(r"\\textbf\{([^}]*)\}", r"\1", body).replace(r"\%", "%").replace(r"\_", "_")
    plain = re.sub(r"\\ensuremath\{-\}|\$-\$|\\textminus\{?\}?", "-", plain).replace("−", "-")
    return [
        [cell.strip() for cell in line.split("&")] for line in plain.split(r"\\") if "&" in line
    ]


def test_every_number_of_the_tables_is_that_of_comparison_json(folder):
    found = json.loads((folder / "comparison.json").read_text())
    tex = (folder / "tables.tex").read_text()
    for cells, row in zip(rows(tex, "a-b-c-leaderboard"), found["leaderboard"], strict=True):
        assert cells[0] == row["label"]
        assert cells[1] == f"{100 * row['value']:.1f}"
        low, high = re.findall(r"[\d.]+", cells[2])
        assert [low, high] == [f"{100 * bound:.1f}" for bound in row["interval"]]
    for cells, pair in zip(rows(tex, "a-b-c-pairs"), found["pairs"], strict=True):
        assert cells[1] == pair["verdict"]
        assert float(cells[2]) == pytest.approx(100 * pair["value"], abs=0.0501)
    for cells, entry in zip(rows(tex, "a-b-c-margin"), found["margin"]["models"], strict=True):
        assert cells[1].startswith(entry["verdict"])
        assert float(cells[2]) == pytest.approx(100 * entry["value"], abs=0.0501)
    names = found["classes"]
    for cells, name in zip(rows(tex, "a-b-c-classes"), names, strict=True):
        expected = [row["class_iou"][name] for row in found["leaderboard"]]
        assert cells[1:] == [f"{100 * value:.1f}" for value in expected]


def test_captions_say_what_the_intervals_are(folder):
    tex = (folder / "tables.tex").read_text()
    assert "95\\% interval" in tex
    assert "intervals over seeds and images" in (folder / "main.tex").read_text()


def test_everything_is_there_and_the_text_is_escaped(folder):
    for name in ("main.tex", "tables.tex", "checklist.tex", "references.bib", "data.zip"):
        assert (folder / name).stat().st_size > 100
    assert (folder / "figures/leaderboard.pdf").read_bytes().startswith(b"%PDF")
    main = (folder / "main.tex").read_text()
    assert r"a\_b\&c" in main
    assert r"\includegraphics[width=\linewidth]{figures/cost.pdf}" in main
    assert r"\documentclass[11pt]{article}" in main


def test_the_data_make_the_same_comparison(folder, tmp_path):
    with zipfile.ZipFile(folder / "data.zip") as archive:
        archive.extractall(tmp_path)
    again = compare_runs(read_study(tmp_path / "runs/a_b&c"), OPTIONS)
    before = json.loads((folder / "comparison.json").read_text())
    for key in ("leaderboard", "pairs", "margin", "metrics", "verdict"):
        assert json.loads(json.dumps(again[key])) == before[key]


def test_compute_counts_failed_runs_and_says_what_is_not_known():
    runs = [record(), record(status="failed", seed=1)]
    found = checklist.compute(runs)
    assert found.runs == {"finished": 1, "failed": 1}
    assert found.hours == pytest.approx({"finished": 61.5 / 3600, "failed": 61.5 / 3600})
    nothing = checklist.compute([])
    assert nothing.sentence() == "not known"


def test_answers_that_the_records_do_not_have_are_not_known(study):
    items = {item.question: item.answer for item in checklist.miccai(
        compare_runs(study, Options(replicates=100)), checklist.records(study.path))}  # fmt: skip
    assert items["Ethics approval of the data"] == "not known"
    assert "failed" in checklist.compute(checklist.records(study.path)).sentence()


def test_references_are_those_of_what_was_used():
    assert keys_of(["unet_resnet18"]) == ["unet"]
    assert keys_of(["unetplusplus_resnet34"]) == []
    text = bibliography([record()])
    assert "@misc{unet," in text
    assert "no entry is known for the data set segbench.data.sources.streets.Streets" in text
    assert text.count("@misc{torch,") == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
@pytest.mark.parametrize("document_class", ["article", "llncs"])
def test_it_compiles(study, tmp_path, document_class):
    found = compare_runs(study, OPTIONS)
    file = write_paper(study, found, tmp_path / "paper", document_class)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", file.name]
    subprocess.run(command, cwd=file.parent, check=True, capture_output=True)
