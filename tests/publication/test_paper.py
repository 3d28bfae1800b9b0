"""The paper kit: every number is that of comparison.json, and nothing is made up."""

import json
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace

import pytest

from segbench.comparison.across_report import compare_studies
from segbench.comparison.comparison import compare_runs
from segbench.comparison.measures import APPROXIMATE
from segbench.comparison.options import Options
from segbench.comparison.study import read_study
from segbench.errors import ConfigError
from segbench.paper import paper as paper_verb
from segbench.publication import document
from segbench.publication.paper import Paper, write_paper
from tests.comparison.fabricated import edit, write_study
from tests.comparison.test_robustness import corrupt_study

OPTIONS = Options(
    baseline="unet", margin=1.0, metrics=("mIoU_C5", "mIoU_corrupted"), replicates=200
)
SKILLS = {"custom": 0.6, "unet": 0.1, "fcn_100%": 0.1}


def make(root, name, number=0, skills=SKILLS):
    path = corrupt_study(write_study(root, skills, seeds=3, name=name), ("fog", "snow"))
    for run in path.glob("*/seed*"):
        edit(run, "data_info.fingerprint.test", f"0{number}")
    costs = [{"model": m, "params": p} for m, p in (("custom", 1e6), ("unet", 3e6))]
    (path / "benchmark.json").write_text(json.dumps({"models": costs}))
    edit(path / "unet-streets/seed2", "status", "failed")
    return read_study(path)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return [make(root, "a_b&c"), make(root, "second", 1)]


@pytest.fixture(scope="module")
def folder(studies):
    """The paper of one study."""
    study = studies[0]
    write_paper(Paper([study], [compare_runs(study, OPTIONS)]), study.path / "paper")
    return study.path / "paper"


def of_both(studies) -> Paper:
    options = replace(OPTIONS, margin=None)
    comparisons = [compare_runs(study, options) for study in studies]
    return Paper(studies, comparisons, compare_studies(studies, options))


@pytest.fixture(scope="module")
def both(studies):
    """The paper of two."""
    write_paper(of_both(studies), studies[0].path.parent / "both")
    return studies[0].path.parent / "both"


def table(tex: str, label: str) -> list[list[str]]:
    """The cells of the table with this label, as text."""
    found = next(part for part in tex.split(r"\begin{table}") if rf"{{tab:{label}}}" in part)
    body = found.split(r"\midrule")[1].split(r"\bottomrule")[0]
    plain = re.sub(r"\\textbf\{([^}]*)\}", r"\1", body)
    for old, new in (("\\%", "%"), ("\\_", "_"), ("\\&", "&"), ("$-$", "-"), ("−", "-"),
                     (r"\textless{}", "<"), ("--", "–")):  # fmt: skip
        plain = plain.replace(old, new)
    lines = [line for line in plain.split("\\\\\n") if " & " in line]
    return [[cell.strip() for cell in line.split(" & ")] for line in lines]


def numbers(cells: list[str]) -> list[float]:
    return [float(text) for cell in cells for text in re.findall(r"(?<![\w.])[+-]?\d+\.?\d*", cell)]


def points(*values) -> list[float]:
    """Fractions as a table shows them; what is missing has no number."""
    return [round(100 * value, 1) for value in values if value is not None]


def p(value) -> list[float]:
    return [0.001] if value < 0.001 else [round(value, 3 if value < 0.1 else 2)]


def expected(found: dict) -> dict[str, list[list[float]]]:
    """Every number of every table with text in its first column, row by row."""
    board, pairs = found["leaderboard"], found["pairs"]
    tables = {
        "leaderboard": [
            [*points(row["value"], *row["interval"]), len(row["seeds"]),
             *points(row["mDice"], row["pixel_acc"]), row["params"] / 1e6] for row in board],
        "pairs": [points(row["value"], *row["interval"]) + p(row["p_holm"])
                  + [round(100 * row["improvement"][0])] for row in pairs],
        "metrics": [
            [x for m in row["models"] for x in points(m["value"], *m["interval"])]
            + points(row["difference"]["value"], *row["difference"]["interval"])
            + p(row["difference"]["p_holm"]) for row in found["metrics"]],
        "robustness": [
            points(*(row["values"][m["label"]] for m in board), row["value"], *row["interval"])
            + ([] if row["p_holm"] is None else p(row["p_holm"]))
            for row in found["robustness"]["rows"]],
        "groups": [[row["images"], *points(*(row["scores"][m["label"]] for m in board),
                                           row["value"], *row["interval"])]
                   for row in found["by_group"]],
        "classes": [points(*(m["class_iou"][name] for m in board)) for name in found["classes"]],
        "classes-dice": [points(*(m["class_dice"][name] for m in board))
                         for name in found["classes"]],
        "parameters": [
            [row["value"] / 1e6, *points(*next([m["value"], *m["interval"]] for m in board
                                               if m["label"] == row["model"]))]
            for row in found["domination"]],
    }  # fmt: skip
    if found["margin"]:
        tables["margin"] = [
            points(row["value"], *row["bounds"]) + p(row["p_not_worse"]) + p(row["p_equivalent"])
            for row in found["margin"]["models"]
        ]
    return tables


def check_tables(tex: str, found: dict, name: str):
    tables = expected(found)
    assert set(re.findall(r"\\label\{tab:(.*)\}", tex)) == {f"{name}-{key}" for key in tables}
    for key, rows in tables.items():
        cells = table(tex, f"{name}-{key}")
        assert len(cells) == len(rows), key
        for row, values in zip(cells, rows, strict=True):
            assert numbers(row[1:]) == pytest.approx(values, abs=1e-9), (key, row)


def test_every_number_of_the_tables_is_that_of_comparison_json(folder):
    found = json.loads((folder / "comparison.json").read_text())
    check_tables((folder / "tables.tex").read_text(), found, "a-b-c")
    board = table((folder / "tables.tex").read_text(), "a-b-c-leaderboard")
    assert [row[0] for row in board] == [row["label"] for row in found["leaderboard"]]


def test_and_those_of_several_studies(both):
    across = json.loads((both / "across.json").read_text())
    tex = (both / "across.tex").read_text()
    ranks = {row["label"]: [row["rank"], *row["interval"]] for row in across["ranks"]["models"]}
    for cells in table(tex, "a-b-c-second-scores"):
        row = next(row for row in across["scores"] if row["label"] == cells[0])
        values = [x for on in row["data"].values() for x in points(on["value"], *on["interval"])]
        values += [round(x, 2) for x in ranks[cells[0]]]
        assert numbers(cells[1:]) == pytest.approx(values, abs=1e-9)
    for cells, row in zip(table(tex, "a-b-c-second-outcomes"), across["pairs"], strict=True):
        assert numbers(cells[2:]) == [round(100 * x) for x in row["improvement"]]
    each = [on for row in across["pairs"] for on in row["data"]]
    for cells, on in zip(table(tex, "a-b-c-second-pairs"), each, strict=True):
        values = points(on["value"], *on["interval"]) + p(on["p_holm"])
        assert [cells[1], cells[-1]] == [on["data"], on["verdict"]]
        assert numbers(cells[2:-1]) == pytest.approx(values, abs=1e-9)
    for number, name in ((1, "a-b-c"), (2, "second")):
        found = json.loads((both / f"{number}-comparison.json").read_text())
        check_tables((both / f"{number}-tables.tex").read_text(), found, name)
    main = (both / "main.tex").read_text()
    for part in ("across", "1-tables", "2-tables", "checklist"):
        assert rf"\input{{{part}}}" in main
    assert document.latex(across["verdict"]) in main
    assert "figures/ranks.pdf" in main
    with zipfile.ZipFile(both / "data.zip") as archive:
        assert "studies=[a_b&c,second]" in archive.read("README.txt").decode()


def test_long_names_in_the_checklists_may_be_broken_into_lines(folder):
    text = (folder / "checklist.tex").read_text()
    assert r"segbench.\allowbreak{}training.\allowbreak{}optim.\allowbreak{}adamw" in text
    assert "0.001" in text  # but no number


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


def test_characters_of_other_scripts_are_declared(folder):
    text = document._declared("模 ü – x 😀")
    assert r"  \DeclareUnicodeCharacter{6A21}{[U+6A21]}" in text
    assert r"  \DeclareUnicodeCharacter{1F600}{[U+1F600]}" in text
    assert not any("00FC" in line or "2013" in line for line in text)
    assert r"\DeclareUnicodeCharacter{2212}{\ensuremath{-}}" in (folder / "main.tex").read_text()


def test_every_cited_work_is_in_the_bibliography(folder, both):
    for place in (folder, both):
        keys = set(re.findall(r"@\w+\{([^,]+),", (place / "references.bib").read_text()))
        cited = re.findall(r"\\cite\{([^}]*)\}", (place / "main.tex").read_text())
        assert {key for part in cited for key in part.split(",")} <= keys
    assert {"tost", "corruptions", "fine_grained", "block_bootstrap"} <= keys | {"tost"}


def test_the_data_make_the_same_comparison(folder, tmp_path):
    with zipfile.ZipFile(folder / "data.zip") as archive:
        archive.extractall(tmp_path)
    again = compare_runs(read_study(tmp_path / "runs/a_b&c"), OPTIONS)
    before = json.loads((folder / "comparison.json").read_text())
    for key in ("leaderboard", "pairs", "margin", "metrics", "robustness", "verdict"):
        assert json.loads(json.dumps(again[key])) == before[key]


VALUES = {"study": None, "studies": [], "tuning": [], "only": [], "metric": "mIoU", "metrics": [],
          "baseline": None, "margin": None, "replicates": 100,
          "document_class": "article"}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "give one of study=NAME and studies="),
        ({"study": "a", "studies": ["a", "b"]}, "give one of study=NAME and studies="),
        ({"studies": ["a"]}, "the paper of one study is study=a"),
        ({"studies": ["a", "a"]}, "name each study once"),
        ({"study": "a", "tuning": ["nothing"]}, "tuning: there is no such study: .*nothing"),
        ({"study": "a", "tuning": ["a"]}, "tuning: a is compared, so it tuned nothing before"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, changes, message):
    from omegaconf import OmegaConf

    (tmp_path / "a").mkdir()
    with pytest.raises(ConfigError, match=message):
        paper_verb(OmegaConf.create(VALUES | {"runs": str(tmp_path)} | changes))


def test_the_verb_writes_a_paper_of_several_studies(studies, capsys):
    from omegaconf import OmegaConf

    runs = studies[0].path.parent
    make(runs, "third", 3, {"custom": 0.6, "unet": 0.1})  # without the baseline
    values = VALUES | {"runs": str(runs), "studies": ["a_b&c", "second"]}
    assert paper_verb(OmegaConf.create(values)) == 0
    values |= {"studies": ["second", "third"], "baseline": "fcn_100%"}
    assert paper_verb(OmegaConf.create(values)) == 0
    assert (runs / "a_b&c+second/paper/main.tex").is_file()
    assert "of 2 data sets" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
@pytest.mark.parametrize("document_class", ["article", "llncs"])
@pytest.mark.parametrize("number", [1, 2])
def test_it_compiles(studies, tmp_path, document_class, number):
    if document_class == "llncs" and not _has("llncs.cls"):
        pytest.skip("no llncs.cls here")
    found = Paper([studies[0]], [compare_runs(studies[0], OPTIONS)])
    file = write_paper(of_both(studies) if number > 1 else found, tmp_path, document_class)
    latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", file.name]
    for command in (latex, ["bibtex", "main"], latex, latex):
        subprocess.run(command, cwd=file.parent, check=True, capture_output=True)
    log = (tmp_path / "main.log").read_text(errors="replace")
    assert "undefined" not in log
    assert "Overfull" not in log
    assert (tmp_path / "main.pdf").stat().st_size > 50_000


def _has(file: str) -> bool:
    return not subprocess.run(["kpsewhich", file], capture_output=True, check=False).returncode


def test_a_name_in_another_script_is_declared_everywhere(tmp_path):
    path = write_study(tmp_path, {"模型": 0.6, "unet": 0.1}, seeds=2)
    study = read_study(path)
    write_paper(Paper([study], [compare_runs(study, Options(replicates=100))]), tmp_path / "paper")
    assert "{6A21}{[U+6A21]}" in (tmp_path / "paper/main.tex").read_text()


def test_approximate_intervals_are_named_in_the_checklist_and_under_the_table(folder):
    for file in ("checklist.tex", "tables.tex"):
        assert document.latex(APPROXIMATE) in (folder / file).read_text()
