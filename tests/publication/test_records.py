"""Compute, licenses and references come from the records, and nothing is made up."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from segbench.artifacts import licenses
from segbench.artifacts.result import Hardware, Protocol, Timings, Training
from segbench.artifacts.trained_as import weights_digest
from segbench.comparison.comparison import compare_runs
from segbench.comparison.options import Options
from segbench.comparison.study import read_study
from segbench.config import config_dir
from segbench.config.compose import compose_checked, register
from segbench.publication import checklist, compute, references
from segbench.publication.checklist import Evidence
from segbench.publication.compute import Spent
from tests.comparison.fabricated import edit, record, write_study

CONF = Path(__file__).resolve().parents[2] / "conf"


def test_compute_counts_failed_runs_tuning_and_what_is_not_known():
    runs = [record(), record(seed=1), record(status="failed", seed=2)]
    runs += [record(seed=3, timings=Timings(), kind="evaluate")]
    trials = [record(study="tune", timings=Timings(total_seconds=1800))] * 2
    found = compute.spent(runs, trials)
    assert [(e.purpose, e.status, e.runs) for e in found] == [
        ("training", "finished", 2), ("training", "failed", 1), ("evaluation", "finished", 1),
        ("tuning", "finished", 2),
    ]  # fmt: skip
    assert compute.total(found) == pytest.approx(1 + 3 * 61.5 / 3600)
    words = compute.sentence(found, 0)
    assert "1 failed training runs (0.02 h)" in words
    assert "2 finished tuning runs (1.00 h)" in words
    assert "without 1 runs whose time is not known" in words
    assert compute.sentence([], 0) == "not known"
    cells = compute.table(found).texts()
    assert cells[2][1:] == ["evaluation", "finished", "1", "not known", "0.00"]


def test_trials_without_their_study_have_no_known_time():
    words = compute.sentence([Spent("training", "s", "n", "finished", (1.0,), 0, ())], 8)
    assert words.endswith("tuning trials as stated by the runs: 8, whose time is not known.")


def test_an_evaluation_brings_the_records_of_its_training(tmp_path):
    trained = write_study(tmp_path, {"unet": 0.1}, seeds=2, name="trained")
    edit(trained / "unet-streets/seed1", "status", "failed")
    scored = write_study(tmp_path, {"unet": 0.1}, seeds=1, name="scored")
    run = scored / "unet-streets/seed0"
    edit(run, "kind", "evaluate")
    edit(run, "protocol.source", f"ckpt={trained}/unet-streets/seed0/checkpoints/last.ckpt")
    found = compute.with_trainings(scored, compute.records(scored))
    assert [(r.study, r.status) for r in found] == [
        ("trained", "finished"), ("trained", "failed"), ("scored", "finished")
    ]  # fmt: skip
    # from another working directory the study is found beside this one
    edit(run, "protocol.source", "ckpt=runs/trained/unet-streets/seed0/checkpoints/last.ckpt")
    file = trained / "unet-streets/seed0/checkpoints/last.ckpt"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    training = {"config": {}, "fingerprint": {}, "devices": 1, "weights": "0" * 32}
    edit(run, "training", training)  # another checkpoint
    assert len(compute.with_trainings(scored, compute.records(scored))) == 1
    edit(run, "training", training | {"weights": weights_digest(file)})
    assert len(compute.with_trainings(scored, compute.records(scored))) == 3
    edit(run, "protocol.source", "ckpt=best.ckpt")
    assert len(compute.with_trainings(scored, compute.records(scored))) == 1


def test_answers_that_the_records_do_not_have_are_not_known(tmp_path):
    path = write_study(tmp_path, {"custom": 0.6, "unet": 0.1}, seeds=2)
    edit(path / "unet-streets/seed1", "status", "failed")
    results = compute.records(path)
    comparison = compare_runs(read_study(path), Options(replicates=100))
    evidence = Evidence([comparison], results, compute.spent(results), results[:1])
    items = {item.question: item.answer for item in checklist.miccai(evidence)}
    assert items["Ethics approval of the data"] == "not known"
    items = {item.question: item.answer for item in checklist.neurips(evidence)}
    spent = items["Compute resources: each run and in total, with failed runs and tuning"]
    assert "1 failed training runs" in spent
    start = items["Licenses of the weights that models start from"]
    assert start == "custom-streets: random weights; unet-streets: random weights"


def with_config(**nodes):
    config = {"model": {}, "data": {}, "weights": None}
    return record(config=config | nodes)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({}, "random weights"),
        ({"encoder_name": "resnet34", "encoder_weights": "imagenet"}, "BSD-3-Clause"),
        ({"encoder_name": "mit_b0", "encoder_weights": "imagenet"}, "not commercial"),
        ({"encoder_name": "tu-convnext_tiny", "encoder_weights": "imagenet"}, "timm, apache-2.0"),
        ({"encoder_name": "convnext_tiny", "encoder_weights": "pretrained"}, "timm, apache-2.0"),
        ({"encoder_name": "no_such_net", "encoder_weights": "imagenet"}, "license not known"),
        ({"encoder_weights": "package"}, "Apache-2.0"),
        ({"path": "somewhere/model"}, "see its model card"),
    ],
)
def test_the_weights_that_a_model_starts_from_are_named_with_their_license(model, words):
    assert words in licenses.of_weights([with_config(model=model)])["unet-streets"]


def test_a_file_of_weights_has_no_known_license():
    found = licenses.of_weights([with_config(weights="some/where/theirs.pt")])
    assert found == {"unet-streets": "theirs.pt, license not known"}
    (shipped,) = licenses.of_weights([with_config(weights="shipped")]).values()
    assert "segbench" in shipped
    assert licenses.UNKNOWN_TERMS in shipped


def test_the_license_of_a_data_set_is_that_of_its_config_or_its_reader():
    register()
    node = OmegaConf.to_container(compose_checked("check_data", ["data=acdc"]).data, resolve=True)
    (text,) = licenses.of_data([with_config(data=node)]).values()
    assert text == "ACDC license: non-commercial research, after registration."
    (text,) = licenses.of_data([with_config(data={"_target_": "their.Data"})]).values()
    assert "their" not in text
    built_in = {"_target_": "segbench.data.sources.streets.Streets"}
    (text,) = licenses.of_data([with_config(data=built_in)]).values()
    assert "nothing restricts the use" in text


def test_of_an_evaluated_checkpoint_the_training_is_described(tmp_path):
    config = {
        "model": {"_target_": "segbench.models.smp.unet", "encoder_name": "resnet34",
                  "encoder_weights": "imagenet"},
        "data": {"_target_": "segbench.data.sources.camvid11.CamVid11", "batch_size": 7},
        "optimizer": {"lr": 0.003}, "trainer": {"max_epochs": 24}, "tuning_trials": 5,
    }  # fmt: skip
    training = Training(config=config, fingerprint={}, devices=1, weights="ab")
    scored = {"data": {"_target_": "segbench.data.sources.streets.Streets"}}
    result = record(kind="evaluate", config=scored, training=training)
    assert "BSD-3-Clause" in licenses.of_weights([result])["unet-streets"]
    assert any("CamVid" in title for title in licenses.of_data([result]))
    assert references.models([result])["unet-streets"] == ["unet", "resnet", "imagenet"]
    assert len(references.data_sets([result])) == 2
    comparison = compare_runs(
        read_study(write_study(tmp_path, {"custom": 0.6, "unet": 0.1}, seeds=2)),
        Options(replicates=100),
    )
    evidence = Evidence([comparison], [result], [], [result])
    items = {item.question: item.answer for item in checklist.neurips(evidence)}
    setting = items["Experimental setting: training and test details"]
    assert "learning rate: 0.003; " in setting
    assert "epochs: 24; batch size: 7" in setting
    tuning = items["Experimental setting: selection of hyperparameters"]
    assert tuning == "unet-streets: 5 trials."


MODELS = sorted(file.stem for file in (CONF / "model").glob("*.yaml"))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_an_entry(name):
    node = OmegaConf.to_container(OmegaConf.load(CONF / f"model/{name}.yaml"))
    node = {key: value for key, value in node.items() if key in ("_target_", "encoder_name")}
    keys = references.models([with_config(model=node)])["unet-streets"]
    if name == "custom":
        assert keys == []  # our own: not published
        return
    assert keys, f"{name}: add it to MODELS in publication/references.py"
    assert set(keys) <= set(references.entries())
    if "resnet" in name:
        assert "resnet" in keys
    assert ("dinov2" in keys) == ("dinov2" in str(node.get("encoder_name")))


def test_the_entries_of_a_model_are_those_of_its_parts():
    node = {"_target_": "segbench.models.smp.unet", "encoder_name": "resnet34",
            "encoder_weights": "imagenet"}  # fmt: skip
    keys = references.models([with_config(model=node)])["unet-streets"]
    assert keys == ["unet", "resnet", "imagenet"]
    packaged = node | {"encoder_name": "tu-tf_efficientnet_lite0", "encoder_weights": "package"}
    assert "imagenet" in references.models([with_config(model=packaged)])["unet-streets"]
    other = {"_target_": "my_package.segnet_like.Net"}
    assert references.models([with_config(model=other)])["unet-streets"] == []


DATA = sorted(file.stem for file in (CONF / "data").glob("*.yaml"))


@pytest.mark.parametrize("name", [n for n in DATA if n not in ("folder", "hf", "nuclei")])
def test_every_data_set_has_an_entry(name):
    node = OmegaConf.to_container(OmegaConf.load(config_dir() / f"data/{name}.yaml"))
    target = node.get("_target_", "segbench.data.sources.folder.Folder")
    result = record(data=target, config={"data": {"about": node.get("about")}})
    (found,) = references.data_sets([result]).values()
    key, entry = found
    assert entry.startswith(f"@{entry[1:].split('{')[0]}{{{key},")
    assert entry.count("{") == entry.count("}")
    if node.get("about"):
        assert re.search(r"title = \{\{\w.+\}\}", entry)
        assert "year = {" in entry


def test_hostile_names_do_not_become_entries():
    found = references.bibliography([record(name="x@misc{y", model="a.b")])
    assert "x@misc" not in found
    assert "% no entry is known for the model x(at)misc{y" in found
    key, entry = references.of_citation('A} and {B, "A {title} \\x", CVPR 2020.', "My {set}")
    assert key == "data-my-set"
    assert entry.count("{") == entry.count("}")
    assert references.of_citation("no quotes here", "x") is None


def test_references_are_those_of_what_was_used():
    model = {"_target_": "segbench.models.unet.UNet"}
    result = record(config={"model": model}, versions={"torch": "2.15.0", "python": "3.11"},
                    hardware=Hardware(), protocol=Protocol())  # fmt: skip
    text = references.bibliography([result])
    for key in ("unet", "torch", "segbench", "holm"):
        assert len(re.findall(rf"@\w+\{{{key},", text)) == 1
    assert "segnet," not in text
