"""The fairness audit: two runs that differ in one thing trigger exactly the line about it."""

from inspect import signature

import pytest

from segbench.comparison.audit import FIELDS, INVALIDATES, LOADING, NOTE, WEAKENS, audit
from segbench.comparison.runs import Run, lookup
from segbench.comparison.study import read_study
from segbench.data.datamodule import SegmentationData
from tests.comparison.fabricated import edit, write_study

# field: (where in result.json, a value that differs from the fabricated one, its grade)
CHANGES = {
    "data fingerprint": ("data_info.fingerprint.test", "ffff", INVALIDATES),
    "training data": ("data_info.fingerprint.train", "ffff", INVALIDATES),
    "split": ("data_info.split", "val", INVALIDATES),
    "label protocol": ("data_info.protocol", "streets-19", INVALIDATES),
    "resolution": ("protocol.resolution", "resized", INVALIDATES),
    "absent classes": ("protocol.absent_classes", "zero", INVALIDATES),
    "void predictions": ("protocol.void_prediction", "ignored", INVALIDATES),
    "pretraining": ("config.model.encoder_weights", "imagenet", INVALIDATES),
    "kind": ("kind", "evaluate", WEAKENS),
    "network input size": ("protocol.resize", [128, 256], WEAKENS),
    "inference": ("protocol.inference.mode", "slide", WEAKENS),
    "augmentation": ("config.data.hflip", 0.0, WEAKENS),
    "loss": ("config.loss.label_smoothing", 0.1, WEAKENS),
    "optimizer": ("config.optimizer.lr", 0.01, WEAKENS),
    "scheduler": ("config.scheduler.power", 1.0, WEAKENS),
    "gradient clipping": ("config.trainer.gradient_clip_val", 1.0, WEAKENS),
    "epochs": ("budget.epochs", 24, WEAKENS),
    "steps": ("budget.steps", 288, WEAKENS),
    "images seen": ("budget.images_seen", 2304, WEAKENS),
    "effective batch size": ("budget.effective_batch_size", 16, WEAKENS),
    "EMA": ("budget.ema", 0.999, WEAKENS),
    "early stopping": ("config.early_stopping", 5, WEAKENS),
    "selection": ("protocol.selection", "best", WEAKENS),
    "tuning trials": ("budget.tuning_trials", 30, WEAKENS),
    "commit": ("commit", "b" * 40, WEAKENS),
    "dirty state": ("dirty", True, WEAKENS),
    "precision": ("budget.precision", "bf16-mixed", NOTE),
    "frames on device": ("config.data.frames_on_device", True, NOTE),
    "params": ("params", 2_000_000, NOTE),
    "hardware": ("hardware.device", "NVIDIA H100", NOTE),
    "versions": ("versions.torch", "2.16.0", NOTE),
    "seeds": ("seed", 5, NOTE),
}


@pytest.fixture
def runs(tmp_path) -> dict[str, list[Run]]:
    study = write_study(tmp_path, {"custom": 0.0, "unet": 0.0}, seeds=1)
    edit(study / "unet-streets" / "seed0", "params", 1_000_000)
    return read_study(study).runs


def change(run: Run, path: str, value) -> None:
    *parents, last = path.split(".")
    node = lookup(run.result, ".".join(parents)) if parents else run.result
    node[last] = value


def test_equal_runs_pass(runs):
    assert audit(runs) == []


@pytest.mark.parametrize("field", list(CHANGES))
def test_one_difference_gives_exactly_one_finding(runs, field):
    path, value, grade = CHANGES[field]
    for members in runs.values():
        change(members[0], "protocol.selection", "last")
        if field == "split":  # so that another split is not other data, too
            change(members[0], "data_info.fingerprint.val", "4e5f")
    change(runs["unet"][0], path, value)
    (finding,) = audit(runs)
    assert (finding.field, finding.grade) == (field, grade)
    assert finding.values


def test_every_audited_field_is_tested():
    assert {field.name for field in FIELDS} <= set(CHANGES)


def test_weights_loaded_from_a_file_are_pretraining(runs):
    change(runs["unet"][0], "config.weights", "runs/pretrained/best.ckpt")
    (finding,) = audit(runs)
    assert finding.field == "pretraining"
    assert finding.values == {"custom": "from scratch", "unet": "runs/pretrained/best.ckpt"}


def test_a_nested_difference_names_only_the_keys_that_differ(runs):
    change(runs["unet"][0], "config.optimizer.lr", 0.01)
    (finding,) = audit(runs)
    assert finding.values == {"custom": "lr 0.001", "unet": "lr 0.01"}
    assert "optimizer (custom: lr 0.001; unet: lr 0.01)" in finding.sentence()


def test_what_the_study_varies_is_its_subject_and_no_doubt(runs):
    change(runs["unet"][0], "config.loss.label_smoothing", 0.1)
    (finding,) = audit(runs, varies=["loss"])
    assert finding.grade == NOTE
    with pytest.raises(ValueError, match="'losss' is not audited"):
        audit(runs, varies=["losss"])


@pytest.mark.parametrize(
    ("option", "value"),
    [("num_workers", 7), ("workers", "thread"), ("cache_limit_gb", 5.0), ("root", "/elsewhere"),
     ("frames_on_device", False)],
)  # fmt: skip
def test_loading_options_are_no_difference(runs, option, value):
    change(runs["unet"][0], f"config.data.{option}", value)
    assert audit(runs) == []


def test_every_loader_option_is_known_to_load_or_to_change_the_training_images():
    changing = {"crop_size", "scale_range", "cat_max_ratio", "class_uniform", "hflip",
                "color_jitter", "blur", "noise", "cutout", "mean", "std"}  # fmt: skip
    options = set(signature(SegmentationData).parameters) - {"source", "seed"}
    assert options - LOADING == changing


def test_equal_tuning_is_shown_and_no_doubt(runs):
    for members in runs.values():
        change(members[0], "budget.tuning_trials", 30)
    (finding,) = audit(runs)
    assert (finding.field, finding.grade) == ("tuning trials", NOTE)
    assert finding.values == {"custom": "30", "unet": "30"}


def test_a_difference_between_seeds_of_one_model_names_the_seeds(tmp_path):
    study = write_study(tmp_path, {"custom": 0.0}, seeds=2)
    edit(study / "custom-streets" / "seed1", "budget.steps", 100)
    (finding,) = audit(read_study(study).runs)
    assert finding.values == {"custom": "144 (seed 0); 100 (seed 1)"}


def test_unequal_numbers_of_seeds_weaken(tmp_path):
    study = write_study(tmp_path, {"custom": 0.0, "unet": 0.0}, seeds=2)
    edit(study / "unet-streets" / "seed1", "status", "failed")
    for seed in (0, 1):
        edit(study / "unet-streets" / f"seed{seed}", "params", 1_000_000)
    (finding,) = audit(read_study(study).runs)
    assert (finding.field, finding.grade) == ("seeds", WEAKENS)


def test_predictions_from_elsewhere_give_one_line_not_twenty(runs):
    foreign = runs["unet"][0].result
    foreign.update(kind="evaluate", budget={}, params=None, config={}, commit="c" * 40)
    (finding,) = audit(runs)
    assert finding.field == "kind"


def test_macs_come_from_the_benchmark(runs):
    (finding,) = audit(runs, macs={"custom": 2e9, "unet": 4e9})
    assert finding.values == {"custom": "2.00 G", "unet": "4.00 G"}


def test_an_epoch_chosen_on_the_tested_images_weakens_even_if_all_did_so(runs):
    for members in runs.values():
        for run in members:
            change(run, "protocol.selection", "best")
            change(run, "data_info.fingerprint.val", "4e5f")  # that of test
    (finding,) = audit(runs)
    assert (finding.field, finding.grade) == ("selection on test", WEAKENS)
    assert set(finding.values) == set(runs)
