"""Several data sets: the numbers of other programs, honest gaps, and the page."""

import html
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from segbench.compare import compare
from segbench.comparison import across, across_wording
from segbench.comparison.across import DataSet
from segbench.comparison.across_report import compare_studies, rank_figure
from segbench.comparison.across_tables import outcome, pair_table, score_table
from segbench.comparison.measures import APPROXIMATE
from segbench.comparison.options import Options
from segbench.comparison.study import read_study
from segbench.comparison.verdicts import ONE_SEED, UNCLEAR
from segbench.config.compare_schema import CompareConfig
from segbench.errors import ConfigError, DataError
from tests.comparison.fabricated import edit, write_study

# six data sets x four models
SCORES = np.array(
    [[0.71, 0.69, 0.70, 0.60], [0.55, 0.56, 0.50, 0.49], [0.80, 0.78, 0.79, 0.70],
     [0.62, 0.61, 0.60, 0.61], [0.44, 0.41, 0.43, 0.40], [0.90, 0.85, 0.88, 0.80]]
)  # fmt: skip
FAST = Options(replicates=200)
BOTH = {"custom": 0.8, "unet": 0.0, "fcn": 0.0}


def write_sets(root, **studies):
    """A study for each keyword, each with test images of its own."""
    paths = []
    for name, skills in studies.items():
        path = write_study(root, skills, seeds=3, name=name, data=f"set{name}")
        for run in path.glob("*/seed*"):
            edit(run, "data_info.fingerprint.test", f"0{len(paths)}")
        paths.append(path)
    return [read_study(path) for path in paths]


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return write_sets(root, a=BOTH, b={"custom": 0.8, "unet": 0.0}, c=BOTH)


def test_ranks_and_critical_difference_are_those_of_autorank():
    # autorank 1.3.0, force_mode="nonparametric": meanrank, cd, and the p value of Friedman's test
    ranks = across.average_ranks(SCORES)
    assert ranks == pytest.approx([1.1666667, 2.5833333, 2.5, 3.75], abs=1e-6)
    # its quantile is interpolated (2.569016), ours integrated (2.569032)
    assert across.critical_difference(4, 6) == pytest.approx(1.9148311794, abs=2e-5)
    assert across.friedman(SCORES) == pytest.approx(0.0065611073, abs=1e-9)


def test_pairs_beyond_the_critical_difference_are_those_of_scikit_posthocs():
    # scikit-posthocs 0.17.1, posthoc_nemenyi_friedman: p values of the six pairs
    p = {(0, 1): 0.22769676, (0, 2): 0.27863888, (0, 3): 0.00296944, (1, 2): 0.99950038,
         (1, 3): 0.39863136, (2, 3): 0.33583741}  # fmt: skip
    ranks = across.average_ranks(SCORES)
    for (a, b), expected in p.items():
        for level in (0.001, 0.05, 0.25, 0.35, 0.9995):
            beyond = abs(ranks[a] - ranks[b]) > across.critical_difference(4, 6, level)
            assert beyond == (expected < level)


def test_the_installed_libraries_agree():
    posthocs = pytest.importorskip("scikit_posthocs")
    found = posthocs.posthoc_nemenyi_friedman(SCORES).to_numpy()
    ranks = across.average_ranks(SCORES)
    for a, b in np.argwhere(found < 0.999):
        exact = across.critical_difference(4, 6, found[a, b])
        assert exact == pytest.approx(abs(ranks[a] - ranks[b]), abs=1e-3)


def test_fewer_than_five_data_sets_or_three_models_get_no_friedman_test():
    assert across.friedman(SCORES[:4]) is None
    assert across.friedman(SCORES[:, :2]) is None


def test_the_probability_of_improvement_is_that_of_rliable():
    # rliable 1.2.0: metrics.probability_of_improvement of these [runs, data sets] is 0.5625
    x = [[0.71, 0.69, 0.70], [0.55, 0.56, 0.50]]
    y = [[0.70, 0.70, 0.65, 0.69], [0.56, 0.49, 0.57, 0.55]]
    value, low, high = across.improvement(fixed(x, y), "x", "y", 0.05)
    assert value == pytest.approx(0.5625, abs=1e-12)
    assert low < value < high
    library = pytest.importorskip("rliable.metrics")
    assert value == pytest.approx(
        library.probability_of_improvement(np.array(x).T, np.array(y).T), abs=1e-9
    )


def fixed(x, y):
    """Data sets on which two models have just these scores."""
    sets = []
    for scores in zip(x, y, strict=True):
        parts = [np.array(runs) for runs in scores]
        drawn = SimpleNamespace(
            entrants=[SimpleNamespace(name=name) for name in "xy"],
            scores=[runs[:, None] for runs in parts],
            runs=[np.tile(runs, (500, 1)) for runs in parts],
        )
        sets.append(DataSet(f"set{len(sets)}", drawn))
    return sets


def test_a_model_that_is_missing_is_named_and_not_dropped(studies):
    found = compare_studies(studies, FAST)
    assert found["missing"] == [{"model": "fcn", "data": "b"}]
    assert "Missing: fcn on b" in found["evidence"]
    assert [row["label"] for row in found["scores"]] == ["custom", "fcn", "unet"]
    assert {row["label"] for row in found["ranks"]["models"]} == {"custom", "unet"}
    cells = {row[0]: row for row in score_table(found).texts()}
    assert (cells["fcn"][2], cells["fcn"][4]) == ("–", "–")
    assert all(len(row) == 6 for row in pair_table(found).texts())


def test_the_sentence_counts_the_data_sets(studies):
    found = compare_studies(studies, FAST)
    assert found["verdict"] == "custom is better than unet on 3 of 3 data sets, worse on none."
    assert "3 data sets are fewer than 5" in found["evidence"]
    assert found["ranks"]["critical_difference"] is None
    pair = next(p for p in found["pairs"] if {p["a"], p["b"]} == {"fcn", "unet"})
    assert [on["data"] for on in pair["data"]] == ["a", "c"]
    assert outcome(pair).endswith("of 2 data sets, worse on none")


def test_one_seed_on_each_data_set_gets_no_verdict(tmp_path):
    first, second = write_sets(tmp_path, a={"x": 0.8, "y": 0.0}, b={"x": 0.8, "y": 0.0})
    alone = [
        replace(study, runs={label: runs[:1] for label, runs in study.runs.items()})
        for study in (first, second)
    ]
    found = compare_studies(alone, FAST)
    assert (
        found["verdict"] == "No verdict on x and y: one seed is not enough, on any of 2 data sets."
    )
    equal = {"a": "x", "b": "y", "data": [{"verdict": UNCLEAR}, {"verdict": ONE_SEED}]}
    assert across_wording.undecided(equal) == (
        "x and y are not distinguishable on 1 data set (no verdict on 1: one seed)."
    )


def test_p_values_are_corrected_over_pairs_and_data_sets(studies):
    found = compare_studies(studies, FAST)
    tests = [on for pair in found["pairs"] for on in pair["data"]]
    assert len(tests) == 7
    smallest = min(tests, key=lambda on: on["p"])
    assert smallest["p_holm"] == pytest.approx(min(1.0, 7 * smallest["p"]))


def test_five_data_sets_get_a_critical_difference(tmp_path):
    sets = {name: {"custom": 0.8, "unet": 0.1, "fcn": -0.4} for name in "abcde"}
    found = compare_studies(write_sets(tmp_path, **sets), FAST)
    assert found["ranks"]["friedman_p"] < 0.05
    assert "average ranks must differ by" in found["evidence"]
    texts = [text.get_text() for text in rank_figure(found).axes[0].texts]
    assert texts == ["critical difference 1.48"]


def config(root, **changes):
    values = {"runs": str(root), "replicates": 200, "wandb": False, **changes}
    return OmegaConf.merge(OmegaConf.structured(CompareConfig), values)


def test_the_verb_writes_a_page_for_all_of_them(studies, capsys):
    root = studies[0].path.parent
    assert compare(config(root, studies=["a", "b", "c"])) == 0
    assert "3 of 3 data sets" in capsys.readouterr().out
    folder = root / "a+b+c/report"
    text = (folder / "index.html").read_text()
    assert "fcn did not run on b" in text
    assert 'src="http' not in text
    assert 'href="http' not in text
    assert json.loads((folder / "across.json").read_text())["studies"] == ["a", "b", "c"]
    assert (folder / "tables.tex").read_text().count(r"\toprule") == 3
    assert (folder / "figures/ranks.svg").is_file()


def test_a_score_over_the_worst_images_is_called_approximate(studies, capsys):
    root = studies[0].path.parent
    assert compare(config(root, studies=["a", "b", "c"], metric="mIoU_I5")) == 0
    folder = root / "a+b+c/report"
    found = json.loads((folder / "across.json").read_text())
    assert found["approximate"]
    text = html.unescape((folder / "index.html").read_text())
    assert "(about " in text
    assert APPROXIMATE in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "give one of study=NAME and studies="),
        ({"study": "a", "studies": ["a", "b"]}, "give one of study=NAME and studies="),
        ({"studies": ["a"]}, "one study is compared with study=a"),
        ({"studies": ["a", "b", "a"]}, "name each study once"),
        ({"studies": ["a", "old/a"]}, "two of them are folders of the same name"),
        ({"studies": ["a", "a/"]}, "two of them are folders of the same name"),
        ({"studies": ["a", "b"], "margin": 1.0}, "margin is for one study"),
    ],
)
def test_what_makes_no_sense_is_refused(studies, changes, message):
    with pytest.raises(ConfigError, match=message):
        compare(config(studies[0].path.parent, **changes))


def test_studies_that_share_no_model_or_their_images_are_refused(tmp_path):
    sets = write_sets(tmp_path, a={"x": 0.0, "y": 0.1}, b={"z": 0.0, "w": 0.1})
    with pytest.raises(DataError, match=r"share no model \(a has x, y; b has w, z\)"):
        compare_studies(sets, FAST)
    one = write_sets(tmp_path, c={"x": 0.0, "y": 0.1})
    with pytest.raises(DataError, match="a and c are scored on the same images"):
        compare_studies([sets[0], *one], FAST)
    two = write_sets(tmp_path, d={"x": 0.0, "y": 0.1})
    edit_all(two[0].path, "ff")
    both = [sets[0], read_study(two[0].path)]
    with pytest.raises(DataError, match="baseline=q has no finished run in a and d"):
        compare_studies(both, Options(replicates=200, baseline="q"))


def edit_all(path, fingerprint):
    for run in path.glob("*/seed*"):
        edit(run, "data_info.fingerprint.test", fingerprint)


def test_trainings_that_are_scored_on_several_data_sets_are_named(tmp_path):
    one, two = write_sets(tmp_path, a=BOTH, b=BOTH)
    assert not any(compare_studies([one, two], FAST)["audits"].values())
    training = {"config": {"study": "s", "name": "custom", "seed": 1}, "fingerprint": {},
                "devices": None, "weights": "0" * 32}  # fmt: skip
    for study in (one, two):
        edit(study.runs["custom"][1].path, "training", training)
    found = compare_studies([read_study(one.path), read_study(two.path)], FAST)["audits"]
    shared = {name: [e for e in entries if e["field"] == "shared trainings"]
              for name, entries in found.items()}  # fmt: skip
    assert shared["a"] == []
    assert [entry["values"] for entry in shared["b"]] == [{"custom": "seed 1 as in a"}]


def test_an_invalid_comparison_on_one_data_set_is_in_the_verdict_over_all(tmp_path):
    for name, print_ in (("a", "1111"), ("b", "2222")):
        study = write_study(tmp_path, {"custom": 0.4, "unet": 0.3}, name=name)
        for run in study.glob("*/seed*"):
            edit(run, "data_info.fingerprint.test", print_)
            if name == "b" and run.parent.name == "custom-streets":
                edit(run, "config.model.encoder_weights", "imagenet")
    studies = [read_study(tmp_path / name) for name in "ab"]
    found = compare_studies(studies, Options(replicates=100))
    assert found["audits"]["a"] == []
    (entry,) = found["audits"]["b"]
    assert (entry["field"], entry["grade"]) == ("pretraining", "invalidates")
    assert found["verdict"].endswith(
        " But the comparison is invalid: on b the runs differ in pretraining."
    )
    meant = compare_studies(studies, Options(replicates=100, varies=("pretraining",)))
    assert not any(meant["audits"].values())
    assert "invalid" not in meant["verdict"]
    full = compare_studies(studies, Options(replicates=100, baseline="unet-streets"))
    assert full["baseline"] == "unet"
