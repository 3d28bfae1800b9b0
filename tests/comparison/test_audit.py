"""The fairness audit: two runs that differ in one thing trigger exactly the line about it."""

import shutil

import pytest

from segbench.artifacts.differences import AUDITED, INVALIDATES, NOTE, WEAKENS
from segbench.artifacts.trained_as import weights_digest
from segbench.comparison.audit import audit
from segbench.comparison.study import read_study
from tests.comparison.fabricated import edit, write_study

# field: (where in result.json, a value that differs from the fabricated one, its grade)
CHANGES = {
    "training data": ("data_info.fingerprint.train", "ffff", INVALIDATES),
    "pretraining": ("config.model.encoder_weights", "imagenet", INVALIDATES),
    "bands of the images": (
        "protocol.bands",
        {"channels": 4, "value_range": [0, 4000], "show": None},
        INVALIDATES,
    ),
    "inflated first convolution": ("protocol.inflated", 4, WEAKENS),
    "kind": ("kind", "evaluate", WEAKENS),
    "model input size": ("protocol.resize", [128, 256], WEAKENS),
    "inference": ("protocol.inference.mode", "slide", WEAKENS),
    "augmentation": ("config.data.hflip", 0.0, WEAKENS),
    "loss": ("config.loss.label_smoothing", 0.1, WEAKENS),
    "optimizer": ("config.optimizer.lr", 0.01, WEAKENS),
    "found learning rate": ("budget.found_lr", 0.003, WEAKENS),
    "scheduler": ("config.scheduler.power", 1.0, WEAKENS),
    "gradient clipping": ("config.trainer.gradient_clip_val", 1.0, WEAKENS),
    "epochs": ("budget.epochs", 24, WEAKENS),
    "steps": ("budget.steps", 288, WEAKENS),
    "images seen": ("budget.images_seen", 2304, WEAKENS),
    "limit of batches": ("config.trainer.limit_train_batches", 6, WEAKENS),
    "effective batch size": ("budget.effective_batch_size", 16, WEAKENS),
    "frozen part": ("config.model.freeze", "encoder", WEAKENS),
    "activation checkpointing": ("config.model.checkpoint_activations", True, NOTE),
    "EMA": ("budget.ema", 0.999, WEAKENS),
    "early stopping": ("config.early_stopping", 5, WEAKENS),
    "selection": ("protocol.selection", "best", WEAKENS),
    "tuning trials": ("budget.tuning_trials", 30, WEAKENS),
    "commit": ("commit", "b" * 40, WEAKENS),
    "dirty state": ("dirty", True, WEAKENS),
    "callbacks": ("config.callbacks", {"lr_monitor": {"logging_interval": "step"}}, WEAKENS),
    "batch normalization": ("budget.devices", 2, WEAKENS),
    "computation": ("config.deterministic", True, NOTE),
    "validation": ("config.trainer.check_val_every_n_epoch", 5, NOTE),
    "precision": ("budget.precision", "bf16-mixed", NOTE),
    "frames on device": ("config.data.frames_on_device", True, NOTE),
    "params": ("params", 2_000_000, NOTE),
    "hardware": ("hardware.device", "NVIDIA H100", NOTE),
    "versions": ("versions.torch", "2.16.0", NOTE),
    "seeds": ("seed", 5, NOTE),
}


@pytest.fixture
def study(tmp_path):
    """Two models with one run each and no differences."""
    path = write_study(tmp_path, {"custom": 0.0, "unet": 0.0}, seeds=1)
    for folder in path.glob("*/seed0"):
        edit(folder, "params", 1_000_000)
        edit(folder, "protocol.selection", "last")
    return path


def found(study, **options):
    return audit(read_study(study).runs, **options)


def change(study, path, value, label="unet"):
    edit(study / f"{label}-streets" / "seed0", path, value)


def test_equal_runs_pass(study):
    assert found(study) == []


@pytest.mark.parametrize("field", list(CHANGES))
def test_one_difference_gives_exactly_one_entry(study, field):
    path, value, grade = CHANGES[field]
    change(study, path, value)
    (entry,) = found(study)
    assert (entry.field, entry.grade) == (field, grade)
    assert entry.values


def test_every_audited_field_is_tested():
    assert {rule.name for rule in AUDITED} <= set(CHANGES)


def test_runs_of_earlier_versions_saw_rgb_of_eight_bits(study):
    rgb = {"channels": 3, "value_range": "auto", "show": None}
    change(study, "protocol.bands", rgb)
    assert found(study) == []


def test_weights_loaded_from_a_file_are_pretraining(study):
    change(study, "config.weights", "runs/pretrained/best.ckpt")
    (entry,) = found(study)
    assert entry.field == "pretraining"
    assert entry.values == {"custom": "from scratch", "unet": "runs/pretrained/best.ckpt"}


def test_a_weights_file_that_changed_between_the_runs(study):
    for label, digest in (("custom", "aa" * 16), ("unet", "bb" * 16)):
        change(study, "config.weights", "pre/last.ckpt", label)
        change(study, "initial_weights", digest, label)
    (entry,) = found(study)
    assert (entry.field, entry.grade) == ("initial weights", WEAKENS)
    assert entry.values == {
        "custom": "last.ckpt aaaaaaaa (seed 0)",
        "unet": "last.ckpt bbbbbbbb (seed 0)",
    }
    change(study, "initial_weights", "aa" * 16)
    assert found(study) == []


def test_a_folder_of_weights_is_known_by_its_files(study, tmp_path):
    folder = tmp_path / "published"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"1")
    digests = [weights_digest(folder)]
    (folder / "model.safetensors").write_bytes(b"2")
    digests.append(weights_digest(folder))
    for label, digest in zip(("custom", "unet"), digests, strict=True):
        change(study, "config.model.path", str(folder), label)
        change(study, "initial_weights", digest, label)
    (entry,) = found(study)
    assert entry.field == "initial weights"
    assert entry.values["unet"] == f"published {digests[1][:8]} (seed 0)"


def test_different_weights_files_are_pretraining_only(study):
    for label, digest in (("custom", "aa" * 16), ("unet", "bb" * 16)):
        change(study, "config.weights", f"pre/{label}.ckpt", label)
        change(study, "initial_weights", digest, label)
    assert [entry.field for entry in found(study)] == ["pretraining"]


def test_a_nested_difference_names_only_the_keys_that_differ(study):
    change(study, "config.optimizer.lr", 0.01)
    (entry,) = found(study)
    assert entry.values == {"custom": "lr 0.001", "unet": "lr 0.01"}
    assert "optimizer (custom: lr 0.001; unet: lr 0.01)" in entry.sentence()


def test_what_the_study_varies_is_its_subject_and_no_doubt(study):
    change(study, "config.loss.label_smoothing", 0.1)
    (entry,) = found(study, varies=["loss"])
    assert entry.grade == NOTE
    with pytest.raises(ValueError, match="'losss' is not audited"):
        found(study, varies=["losss"])


@pytest.mark.parametrize(
    ("option", "value"),
    [("num_workers", 7), ("workers", "thread"), ("cache_limit_gb", 5.0), ("root", "/elsewhere"),
     ("frames_on_device", False), ("eval_batch_size", 4)],
)  # fmt: skip
def test_loading_options_are_not_a_difference(study, option, value):
    change(study, f"config.data.{option}", value)
    assert found(study) == []


@pytest.mark.parametrize(
    ("node", "fields"),
    [("data", ["augmentation"]), ("loss", ["loss"]), ("model", []), ("trainer", [])],
)
def test_a_config_of_another_kind_is_compared_like_any_value(study, node, fields):
    change(study, f"config.{node}", 3)
    assert [entry.field for entry in found(study)] == fields


def test_a_loss_that_belongs_to_the_model(study):
    change(study, "config.loss", {"_target_": "segbench.losses.own.OwnLoss"})
    entries = {entry.field: entry for entry in found(study)}
    assert set(entries) == {"loss", "loss of the model"}
    assert entries["loss"].values["unet"] == "the model's own"
    assert "CrossEntropy" in entries["loss"].values["custom"]
    assert entries["loss of the model"].values == {"unet": "its own loss"}
    assert "belongs to the model" in entries["loss of the model"].sentence()


def test_equal_tuning_is_shown_and_no_doubt(study):
    for label in ("custom", "unet"):
        change(study, "budget.tuning_trials", 30, label)
    (entry,) = found(study)
    assert (entry.field, entry.grade) == ("tuning trials", NOTE)
    assert entry.values == {"custom": "30", "unet": "30"}


def test_a_difference_between_seeds_of_one_model_names_the_seeds(tmp_path):
    study = write_study(tmp_path, {"custom": 0.0}, seeds=2)
    edit(study / "custom-streets" / "seed1", "budget.steps", 100)
    (entry,) = audit(read_study(study).runs)
    assert entry.values == {"custom": "144 (seed 0); 100 (seed 1)"}


def test_unequal_numbers_of_seeds_weaken(tmp_path):
    study = write_study(tmp_path, {"custom": 0.0, "unet": 0.0}, seeds=2)
    edit(study / "unet-streets" / "seed1", "status", "failed")
    for seed in (0, 1):
        edit(study / "unet-streets" / f"seed{seed}", "params", 1_000_000)
    (entry,) = audit(read_study(study).runs)
    assert (entry.field, entry.grade) == ("seeds", WEAKENS)


def test_predictions_from_elsewhere_give_one_line_not_twenty(study):
    for key, value in {"kind": "evaluate", "budget": {}, "params": None, "config": {},
                       "commit": "c" * 40, "protocol.selection": None}.items():  # fmt: skip
        change(study, key, value)
    (entry,) = found(study)
    assert entry.field == "kind"


def test_macs_come_from_the_benchmark(study):
    (entry,) = found(study, macs={"custom": 2e9, "unet": 4e9})
    assert entry.values == {"custom": "2.00 G", "unet": "4.00 G"}


def test_an_epoch_chosen_on_the_tested_images_weakens_even_if_all_did_so(study):
    for label in ("custom", "unet"):
        change(study, "protocol.selection", "best", label)
        change(study, "data_info.fingerprint.val", "4e5f", label)  # that of test
    (entry,) = found(study)
    assert (entry.field, entry.grade) == ("selection on test", WEAKENS)
    assert set(entry.values) == {"custom", "unet"}


def test_tested_training_images_weaken_even_if_all_models_have_them(study):
    for label in ("custom", "unet"):
        change(study, "data_info.trained_on", {"test": 3}, label)
    (entry,) = found(study)
    assert (entry.field, entry.grade) == ("tested training images", WEAKENS)
    assert entry.values["unet"].startswith("3 of the ")


def test_a_copied_model_under_another_name_is_named(study):
    assert not [entry for entry in audit(read_study(study).runs) if "identical" in entry.field]
    shutil.copytree(study / "unet-streets", study / "better-streets")
    edit(study / "better-streets/seed0", "name", "better-streets")
    found = [entry for entry in audit(read_study(study).runs) if "identical" in entry.field]
    assert [entry.grade for entry in found] == [WEAKENS]
    assert found[0].values == {"unet": "seed 0 is seed 0 of better"}
