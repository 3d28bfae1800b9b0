"""The same predictions give the same integer counts, whatever their origin."""

import cv2
import numpy as np
import pytest
import torch

from segbench.artifacts.segmenter import Segmenter
from segbench.data.datamodule import SegmentationData
from segbench.errors import DataError, NonFiniteLogitsError
from segbench.evaluation.evaluator import evaluate_checkpoint, evaluate_predictions
from segbench.evaluation.summary import Wanted, stacked_counts, summarize
from segbench.metrics.catalog import CATALOG, OPTIONS


def silent(done, total):
    pass


def evaluate(ckpt, source, batch_size=1, num_workers=0, options=()):
    data = SegmentationData(source, 0, eval_batch_size=batch_size, num_workers=num_workers)
    return evaluate_checkpoint(Segmenter(ckpt), data, "test", Wanted(options), progress=silent)


def evaluate_folder(folder, source, partial=False, options=("calibration",), confidence=None):
    wanted = Wanted(options)
    return evaluate_predictions(
        folder, source, "test", "auto", [], partial, wanted, confidence, 2, progress=silent
    )


@pytest.fixture
def source(small_streets):
    return small_streets


@pytest.fixture
def folder(ckpt, source, tmp_path):
    """The predictions of the model as PNG files of ids, made with the Python interface."""
    model = Segmenter(ckpt)
    for record in source.records("test"):
        labels = model.predict(source.read(record)[0], with_probs=False).labels
        cv2.imwrite(str(tmp_path / f"{record.name}.png"), labels)
    return tmp_path


def test_batch_size_and_processes_change_no_integer(ckpt, source):
    expected = evaluate(ckpt, source).matrices
    assert expected.sum() > 0
    for batch_size, num_workers in ((3, 0), (16, 0), (1, 2)):
        found = evaluate(ckpt, source, batch_size, num_workers).matrices
        assert np.array_equal(found, expected), (batch_size, num_workers)


def test_predictions_on_disk_give_the_integers_of_the_checkpoint(ckpt, source, folder):
    direct = evaluate(ckpt, source, options=("boundary",))
    from_files = evaluate_folder(folder, source, options=("boundary",))
    assert np.array_equal(direct.matrices, from_files.matrices)
    assert [r.name for r in direct.records] == [r.name for r in from_files.records]
    assert np.array_equal(direct.pred_of(2), from_files.pred_of(2))
    groups = [record.group for record in direct.records]
    ours, theirs = (
        summarize(evaluation.matrices, evaluation.extras, groups, source.classes, "exclude")
        for evaluation in (direct, from_files)
    )
    assert ours == theirs


def test_scores_beyond_the_matrix_are_there(ckpt, source):
    evaluation = evaluate(ckpt, source, options=("boundary", "calibration"))
    groups = [record.group for record in evaluation.records]
    found = summarize(evaluation.matrices, evaluation.extras, groups, source.classes, "exclude")
    assert set(found["groups"]) == set(groups)
    assert 0 <= found["ECE"] <= 1
    assert found["worst_tenth_mIoU"] <= found["mean_image_mIoU"]
    assert set(found["boundary_IoU"]) == set(source.classes.names)
    assert "iIoU" not in found


def test_probabilities_and_outlines_are_scored_and_kept_by_image(ckpt, source):
    found = evaluate(ckpt, source, options=OPTIONS)
    groups = [record.group for record in found.records]
    scores = summarize(found.matrices, found.extras, groups, source.classes, "exclude")
    assert scores["NLL"] > 0
    assert 0 < scores["Brier"] < 2
    for name in ("SCE", "AURC", "mean_NSD"):
        assert 0 <= scores[name] <= 1
    kept = stacked_counts(found.extras)
    assert set(kept) == set(CATALOG) - {"mIoU_corrupted"}
    for name in ("NLL", "Brier", "AURC"):
        top, bottom = kept[name].sum(axis=0)
        assert top[0] / bottom[0] == pytest.approx(scores[name], rel=1e-12)
    pixels, right, sure = np.moveaxis(kept["ECE"].sum(axis=(0, 1)), -1, 0)
    assert np.abs(right - sure).sum() / pixels.sum() == pytest.approx(scores["ECE"], rel=1e-12)


def test_confidence_maps_of_any_program_are_scored(folder, source, tmp_path):
    sure = tmp_path / "sure"
    sure.mkdir()
    rng = np.random.default_rng(0)
    for record in source.records("test"):
        np.save(sure / f"{record.name}.npy", rng.random(source.read(record)[1].shape))
    for file in tmp_path.glob("*.png"):
        file.rename(sure.parent / file.name)
    labels = tmp_path / "labels"
    labels.mkdir()
    for file in tmp_path.glob("*.png"):
        file.rename(labels / file.name)
    found = evaluate_folder(labels, source, confidence=sure)
    groups = [record.group for record in found.records]
    scores = summarize(found.matrices, found.extras, groups, source.classes, "exclude")
    assert scores["ECE"] is not None
    assert 0 <= scores["AURC"] <= 1
    assert "NLL" not in scores, "the probability of the other classes is not known"
    names = [record.name for record in source.records("test")]
    np.save(sure / f"{names[0]}.npy", np.full((5, 7), 0.5))
    np.save(sure / f"{names[1]}.npy", 2 * np.ones(source.read(source.records("test")[1])[1].shape))
    (sure / f"{names[2]}.npy").unlink()
    with pytest.raises(DataError) as error:
        evaluate_folder(labels, source, confidence=sure)
    assert "the confidence is 7x5 but the mask is 33x24" in str(error.value)
    assert "confidences from 2.0 to 2.0, expected 0..1" in str(error.value)
    assert f"confidence: {names[2]}: has no prediction" in str(error.value)


def test_everything_wrong_with_a_folder_is_listed_and_nothing_scored(source, folder):
    files = sorted(folder.glob("*.png"))
    files[0].unlink()
    cv2.imwrite(str(files[1]), np.zeros((5, 7), np.uint8))
    wrong = cv2.imread(str(files[2]), cv2.IMREAD_UNCHANGED)
    wrong[:] = 77
    cv2.imwrite(str(files[2]), wrong)
    files[3].write_bytes(files[3].read_bytes()[:40])
    cv2.imwrite(str(folder / "stranger.png"), wrong)
    with pytest.raises(DataError) as error:
        evaluate_folder(folder, source)
    text = str(error.value)
    assert "5 problems, nothing was scored" in text
    assert f"{files[0].stem}: has no prediction" in text
    assert f"{files[1].stem}: the prediction is 7x5 but the mask is 33x24" in text
    assert f"{files[2].name}: value 77 on 100.00%" in text
    assert f"{files[3].name}: truncated" in text
    assert "stranger.png: belongs to no image" in text
    evaluation = evaluate_folder(folder, source, partial=True)
    assert [record.name for record in evaluation.records] == [files[4].stem]
    assert len(evaluation.left_out) == 5


def test_a_folder_without_any_matching_file_is_refused_even_if_partial(source, tmp_path):
    cv2.imwrite(str(tmp_path / "stranger.png"), np.zeros((24, 33), np.uint8))
    with pytest.raises(
        DataError, match=r"no file can be scored on the test split\.\n  - stranger\.png: belongs"
    ):
        evaluate_folder(tmp_path, source, partial=True)


@pytest.mark.parametrize("options", [(), ("calibration",)])
def test_a_model_that_overflows_is_not_scored(make_checkpoint, source, options):
    file = make_checkpoint()
    content = torch.load(file, weights_only=True)
    content["state_dict"]["model.head.weight"].fill_(3e38)  # finite weights, infinite logits
    torch.save(content, file)
    with pytest.raises(NonFiniteLogitsError, match=r"not finite on test_"):
        evaluate(file, source, options=options)
    with pytest.raises(NonFiniteLogitsError, match="not finite on the image"):
        Segmenter(file).predict(source.read(source.records("test")[0])[0])
