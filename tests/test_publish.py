"""The published results: the tables of the repository are generated from the data next to them."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segbench.artifacts.public_copy import is_same
from segbench.artifacts.run_directory import RunDirectory
from segbench.comparison.across_report import compare_studies
from segbench.comparison.comparison import compare_runs
from segbench.comparison.content import write_json
from segbench.comparison.options import Options
from segbench.comparison.reproduce import comparison_command
from segbench.comparison.study import read_studies, read_study
from tests.comparison.fabricated import edit, write_study

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "experiments/results/runs"
MARKS = "<!-- results -->\nold\n<!-- end of results -->\n"


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import publish

    return publish


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of two models with three seeds, and its comparison."""
    path = write_study(tmp_path / "runs", {"custom": 0.6, "unet": 0.1}, name="mine")
    command = "python -m segbench.train -cn mine model={} seed={} data.root=/d/me hydra.mode=RUN"
    for model in ("custom", "unet"):
        for seed in range(3):
            run = path / f"{model}-streets/seed{seed}"
            edit(run, "command", command.format(model, seed))
    (path / "report").mkdir()
    found = compare_runs(read_study(path), Options(replicates=100))
    write_json(found, path / "report/comparison.json")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository without results."""
    (tmp_path / "experiments/results").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/which-model.md").write_text("# models\n")
    (tmp_path / "README.md").write_text("# mine\n")
    (tmp_path / "experiments/README.md").write_text(f"before\n{MARKS}after\n")
    return tmp_path


def test_a_comparison_over_studies_has_the_scores_of_the_published_studies(publish) -> None:
    assert publish.stale(ROOT) == []


def test_the_tables_of_this_repository_are_those_of_its_results(publish) -> None:
    stale = [
        str(file.relative_to(ROOT))
        for file, text in publish.rendered(ROOT).items()
        if not file.is_file() or file.read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `make results`: {', '.join(stale)}"


def test_a_published_study_names_its_command_commit_seeds_and_machine(publish, study, root):
    publish.take(study, root / "experiments/results")
    pages = publish.rendered(root)
    report = pages[root / "experiments/results/mine.md"]
    for word in (
        "`python -m segbench.train -cn mine -m model=custom,unet seed=0,1,2 data.root=PATH`",
        "commit a9ee35c00,",
        "seeds 0 to 2",
        "Example CPU, 2 threads",
        "torch 2.15.0",
        "train 0a1b, val 2c3d, test 4e5f",
    ):
        assert word in report, f"{word} is missing"
    assert "/d/me" not in (root / "experiments/results/mine.json").read_text()
    index = pages[root / "experiments/README.md"]
    assert index.startswith("before\n<!-- results -->\n|")
    assert index.endswith("\n<!-- end of results -->\nafter\n")
    assert "old" not in index
    assert "[mine](results/mine.md)" in index
    assert "0 to 2" in index
    board = json.loads((study / "report/comparison.json").read_text())["leaderboard"]
    for row in board:
        assert f"{row['label']} {100 * row['value']:.1f}" in index


def test_a_published_report_can_be_computed_again_from_the_published_runs(publish, study, root):
    for run in study.glob("*/seed*"):
        edit(run, "config.data.root", "/d/me/camvid")
        edit(run, "config.model.path", "~/weights/best.pth")
        content = json.loads((run / "result.json").read_text())["config"]
        RunDirectory(run).write_config(content)
    old = root / "experiments/results/runs/mine/left-streets/seed0"
    old.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"1 published runs are not in this report: left-streets"):
        publish.take(study, root / "experiments/results")
    assert old.exists()
    file = publish.take(study, root / "experiments/results", replace=True)
    copies = file.parent / "runs/mine"
    assert not old.exists()
    found = json.loads(json.dumps(compare_runs(read_study(copies), Options(replicates=100))))
    assert found == json.loads(file.read_text())
    for each in copies.rglob("*.*"):
        assert each.name in ("result.json", "confusion.npz", "config.yaml", "metrics.csv")
        assert b"/d/me" not in each.read_bytes()
        assert b"~" not in each.read_bytes() or each.suffix == ".npz"
    first = RunDirectory(copies / "custom-streets/seed0")
    config = first.read_config()
    assert config["data"]["root"] == "data/camvid"
    assert config["model"]["path"].startswith("PATH-")
    assert is_same("/elsewhere/best.pth", config["model"]["path"])
    assert not is_same("/elsewhere/last.pth", config["model"]["path"])
    assert first.read_result().command.endswith("data.root=PATH hydra.mode=RUN")


def test_scores_whose_runs_were_not_kept_are_not_lost_silently(publish, study, root):
    results = root / "experiments/results"
    file = publish.take(study, results)
    shutil.rmtree(results / "runs")
    content = json.loads(file.read_text())
    content["runs"][0]["path"] = "left-streets/seed0"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"1 published scores are .* not kept: left-str"):
        publish.take(study, results)
    publish.take(study, results, replace=True)
    assert "left-streets" not in file.read_text()


PUBLISHED = sorted(path.name for path in RUNS.iterdir() if "+" not in path.name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_scores_are_those_of_the_published_counts(name: str) -> None:
    """Reading a study already checks that the counts of each run reproduce its scores."""
    published = json.loads((RUNS.parent / f"{name}.json").read_text(encoding="utf-8"))
    study = read_study(RUNS / name)
    assert not [entry for entry in study.left_out if entry.broken]
    for row in published["leaderboard"]:
        found = [run.scores.mIoU for run in study.runs[row["label"]]]
        assert row["mIoU"] == pytest.approx(np.mean(found), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_comparison_is_found_again(name: str) -> None:
    published = json.loads((RUNS.parent / f"{name}.json").read_text(encoding="utf-8"))
    command = [sys.executable, *shlex.split(comparison_command(published, str(RUNS)))[1:]]
    done = subprocess.run([*command, "wandb=false"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((RUNS / name / "report/comparison.json").read_text(encoding="utf-8"))
    assert found["verdict"] == published["verdict"]
    compared = {"leaderboard": ("value", "sd", "interval"), "pairs": ("value", "p_holm")}
    for key, values in compared.items():
        for row, said in zip(found[key], published[key], strict=True):
            for value in values:
                assert row[value] == pytest.approx(said[value], abs=1e-6), (key, value)


def test_a_page_may_show_the_leaderboard_of_one_study(publish, study, root):
    publish.take(study, root / "experiments/results")
    marks = MARKS.replace("results -->\nold", "results of mine -->\nold")
    (root / "README.md").write_text(f"{marks}between\n{MARKS}")
    page = publish.rendered(root)[root / "README.md"]
    one, rest = page.split("between")
    assert "| model | mIoU (%) |" in one
    assert "[mine](experiments/results/mine.md)" in one
    assert "| study |" in rest


def test_a_comparison_over_studies_is_published_with_links_to_each(publish, study, root):
    results = root / "experiments/results"
    other = write_study(study.parent, {"custom": 0.4, "unet": 0.3}, name="theirs")
    for run in other.glob("*/seed*"):
        edit(run, "data_info.fingerprint.test", "0000")
    found = compare_studies(read_studies([study, other]), Options(replicates=100))
    folder = study.parent / "mine+theirs"
    (folder / "report").mkdir(parents=True)
    write_json(found, folder / "report/across.json")
    with pytest.raises(ValueError, match=r"mine\+theirs: not published yet: mine, theirs"):
        publish.take(folder, results)
    assert not (results / "mine+theirs.json").exists()

    for single in (study, other):
        (single / "report").mkdir(exist_ok=True)
        write_json(
            compare_runs(read_study(single), Options(replicates=100)),
            single / "report/comparison.json",
        )
        publish.take(single, results)
    assert publish.doubts(json.loads(publish.take(folder, results).read_text())) == []
    marks = MARKS.replace("results -->\nold", "results of mine+theirs -->\nold")
    (root / "docs/which-model.md").write_text(marks)
    pages = publish.rendered(root)
    report = pages[results / "mine+theirs.md"]
    assert found["verdict"] in report
    assert "[mine](mine.md), [theirs](theirs.md)" in report
    page = pages[root / "docs/which-model.md"]
    assert found["verdict"] in page
    assert "[mine+theirs](../experiments/results/mine+theirs.md)" in page
    assert publish.stale(root) == []
    changed = json.loads((results / "theirs.json").read_text())
    changed["leaderboard"][0]["value"] += 0.01
    write_json(changed, results / "theirs.json")
    (told,) = publish.stale(root)
    assert "mine+theirs: " in told
    assert "on theirs, which is not what is published of it; compare both again" in told
    row = next(
        line for line in pages[root / "experiments/README.md"].splitlines() if "mine+" in line
    )
    score = found["scores"][0]["data"]["theirs"]["value"]
    assert f"{found['scores'][0]['label']}: {100 * score:.1f} (" in row
    assert found["verdict"] in row


def test_what_cannot_be_traced_is_refused_or_reported(publish, study, root):
    results = root / "experiments/results"
    with pytest.raises(FileNotFoundError):
        publish.take(study.parent / "other", results)
    (root / "README.md").write_text(MARKS.replace("results -->\nold", "results of mine -->\nold"))
    with pytest.raises(ValueError, match=r"mine\.json does not exist; published studies: none"):
        publish.rendered(root)
    (root / "README.md").write_text("")
    (results / "by_hand.md").write_text("99.9")
    with pytest.raises(ValueError, match=r"by_hand\.json"):
        publish.rendered(root)

    file = publish.take(study, results)
    found = json.loads(file.read_text())
    assert publish.doubts(found) == []
    counts = study / "custom-streets/seed1/confusion.npz"
    whole = counts.read_bytes()
    counts.write_bytes(whole[:3000])
    with pytest.raises(ValueError, match=r"seed1: confusion.npz is corrupt"):
        publish.take(study, results)
    counts.write_bytes(whole)
    for folder in study.glob("*/seed*"):
        edit(folder, "study", "sub/mine")
    with pytest.raises(ValueError, match="published from the study mine, and these runs are of"):
        publish.take(study, results)
    for text, said in (('{"study": "mine"}', "is not a comparison"), ("{", "is damaged")):
        (study / "report/comparison.json").write_text(text)
        with pytest.raises(ValueError, match=said):
            publish.take(study, results)
    found["runs"][0]["dirty"] = True
    found["runs"][4]["commit"] = None
    told = publish.doubts(found)
    assert len(told) == 2
    assert "custom, seed 0: commit a9ee35c00 with uncommitted changes" in told[0]
    assert "unet, seed 1: unknown commit" in told[1]


def measured_costs(file: Path, device: str = "cpu", **cpu_ms: float) -> Path:
    """A file of `segbench.benchmark`."""
    rows = [
        {"model": name, "cpu_ms": ms, "cpu_spread": 0.05, "latency_ms": ms, "latency_spread": 0.05,
         "input": [8, 8], "device": device, "num_classes": 3, "peak_memory_mib": 10.0,
         "versions": {"torch": "2"}}
        for name, ms in cpu_ms.items()
    ]  # fmt: skip
    command = f"python -m segbench.benchmark models=[unet_resnet34] output={file}"
    content = {"command": command, "commit": "a" * 40, "dirty": False, "models": rows}
    content["options"] = {"output": str(file)}
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def test_measured_costs_are_published_without_local_paths(publish, root, tmp_path):
    results = root / "experiments/results"
    (root / "docs/which-model.md").write_text("<!-- costs -->\nold\n<!-- end of results -->\n")
    first = measured_costs(tmp_path / "a.json", unet_resnet34=100.0, custom=30.0)
    publish.take_costs([first], results)
    text = (results / "costs/a.json").read_text()
    assert str(tmp_path) not in text
    assert "models=[unet_resnet34] output=PATH" in json.loads(text)["command"].replace("'", "")
    assert "| custom | 0.30 |" in publish.rendered(root)[root / "docs/which-model.md"]

    publish.take_costs([measured_costs(tmp_path / "b.json", unet_resnet34=9.0, unet=18.0)], results)
    page = publish.rendered(root)[root / "docs/which-model.md"]
    assert "| custom | 0.30 |" in page
    assert "| unet | 2.00 |" in page


def test_costs_that_cannot_be_compared_leave_the_published_ones(publish, root, tmp_path):
    results = root / "experiments/results"
    first = measured_costs(tmp_path / "a.json", unet_resnet34=100.0)
    publish.take_costs([first], results)
    (tmp_path / "new").mkdir()
    same = measured_costs(tmp_path / "new/a.json", unet_resnet34=80.0)
    other = measured_costs(tmp_path / "c.json", "cuda", unet_resnet34=5.0)
    lacking = measured_costs(tmp_path / "d.json", custom=5.0)
    wrong = measured_costs(tmp_path / "f.json", unet_resnet34=100.0, custom=0.0)
    copy = Path(shutil.copy(first, tmp_path / "g.json"))
    study = tmp_path / "e.json"
    study.write_text("{}")
    for file, said in (
        (wrong, "f.json: custom: cpu_ms is 0.0, which is no measurement; measure it again"),
        (copy, "g.json: unet_resnet34 is the same measurement as in .*a.json"),
        (same, "two files are named a.json"),
        (other, "not comparable"),
        (lacking, "has no unet_resnet34"),
        (study, "is not a file of segbench.benchmark"),
    ):
        with pytest.raises(ValueError, match=said):
            publish.take_costs([file], results)
    with pytest.raises(ValueError, match="no measurement"):
        publish.take_costs([wrong], results, replace=True)
    assert [file.name for file in (results / "costs").iterdir()] == ["a.json"]
    publish.take_costs([other], results, replace=True)
    assert [file.name for file in (results / "costs").iterdir()] == ["c.json"]
