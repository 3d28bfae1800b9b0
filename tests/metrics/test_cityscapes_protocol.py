"""The official evaluation script and segbench give the same numbers."""

import numpy as np
import pytest
from PIL import Image

from segbench.data.sources.cityscapes import Cityscapes
from segbench.evaluation.evaluator import evaluate_predictions
from segbench.evaluation.summary import Wanted, summarize
from segbench.metrics.cityscapes_protocol import (
    CATEGORIES,
    CLASS_NAMES,
    LABEL_IDS,
    categories_for,
    instance_counts,
    is_cityscapes,
    to_label_ids,
)
from segbench.metrics.confusion import confusion_matrix
from segbench.metrics.per_image import category_matrix
from segbench.metrics.scores import class_iou

official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")

TRAIN_IDS = np.full(256, 255, np.uint8)
TRAIN_IDS[list(LABEL_IDS)] = np.arange(19)
WITH_INSTANCES = (24, 25, 26, 27, 28, 29, 30, 31, 32, 33)


def scene(rng, structured):
    """Label IDs and instance IDs `[H, W]` of a mask, and label IDs of a prediction."""
    if structured:
        truth = np.repeat(np.repeat(rng.integers(0, 34, (8, 16)), 10, 0), 10, 1)
        pred = np.where(rng.random(truth.shape) < 0.2, np.roll(truth, 7, axis=1), truth)
    else:
        truth, pred = rng.integers(0, 34, (2, 80, 160))
    number = np.repeat(np.repeat(rng.integers(0, 4, (8, 16)), 10, 0), 10, 1)
    is_thing = np.isin(truth, WITH_INSTANCES) & (rng.random(truth.shape) < 0.9)
    instances = np.where(is_thing, truth * 1000 + number, truth)
    return truth.astype(np.uint8), instances.astype(np.uint16), pred.astype(np.uint8)


def score_officially(folder, scenes, monkeypatch):
    # The script still calls np.in1d, which NumPy 2.4 removed.
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    pairs = []
    for i, (truth, instances, pred) in enumerate(scenes):
        mask_file = folder / f"ulm_{i:06}_000019_gtFine_labelIds.png"
        Image.fromarray(truth).save(mask_file)
        Image.fromarray(instances).save(str(mask_file).replace("labelIds", "instanceIds"))
        Image.fromarray(pred).save(folder / f"ulm_{i:06}_000019_pred.png")
        pairs.append((str(folder / f"ulm_{i:06}_000019_pred.png"), str(mask_file)))
    official.args.quiet, official.args.JSONOutput = True, False
    return official.evaluateImgLists([p for p, _ in pairs], [m for _, m in pairs], official.args)


@pytest.mark.parametrize("structured", [False, True])
def test_class_category_and_instance_scores_agree(tmp_path, structured, monkeypatch):
    rng = np.random.default_rng(structured)
    scenes = [scene(rng, structured) for _ in range(3)]
    expected = score_officially(tmp_path, scenes, monkeypatch)

    matrix = np.zeros((19, 20), np.int64)
    counts = []
    for truth, instances, pred in scenes:
        mask = TRAIN_IDS[truth]
        matrix += confusion_matrix(TRAIN_IDS[pred], mask, 19)
        counts.append(instance_counts(pred, mask, instances))

    iou = class_iou(matrix)
    for name, value in zip(CLASS_NAMES, iou, strict=True):
        assert value == pytest.approx(expected["classScores"][name], abs=1e-6)
    assert np.nanmean(iou) == pytest.approx(expected["averageScoreClasses"], abs=1e-6)

    by_category = class_iou(category_matrix(matrix, CLASS_NAMES, categories_for(CLASS_NAMES)))
    for name, value in zip(CATEGORIES, by_category, strict=True):
        assert value == pytest.approx(expected["categoryScores"][name], abs=1e-6)
    assert np.nanmean(by_category) == pytest.approx(expected["averageScoreCategories"], abs=1e-6)

    ours = (counts[0] + counts[1] + counts[2]).scores()
    for name, value in ours["iIoU"].items():
        assert value == pytest.approx(expected["classInstScores"][name], abs=1e-6)
    for name, value in ours["category_iIoU"].items():
        assert value == pytest.approx(expected["categoryInstScores"][name], abs=1e-6)
    assert ours["mean_iIoU"] == pytest.approx(expected["averageScoreInstClasses"], abs=1e-6)
    mean_category = expected["averageScoreInstCategories"]
    assert ours["mean_category_iIoU"] == pytest.approx(mean_category, abs=1e-6)


def test_a_submission_in_official_layout_scores_as_in_the_official_script(tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    scenes = [scene(rng, structured=True) for _ in range(2)]
    expected = score_officially(tmp_path, scenes, monkeypatch)
    masks, images = tmp_path / "gtFine" / "val" / "ulm", tmp_path / "leftImg8bit" / "val" / "ulm"
    submission = tmp_path / "results"
    for folder in (masks, images, submission):
        folder.mkdir(parents=True)
    for i, (truth, instances, pred) in enumerate(scenes):
        frame = f"ulm_{i:06}_000019"
        Image.fromarray(truth).save(masks / f"{frame}_gtFine_labelIds.png")
        Image.fromarray(instances).save(masks / f"{frame}_gtFine_instanceIds.png")
        Image.fromarray(np.dstack([truth] * 3)).save(images / f"{frame}_leftImg8bit.png")
        Image.fromarray(pred).save(submission / f"{frame}_pred.png")
    source = Cityscapes(str(tmp_path))
    evaluation = evaluate_predictions(
        submission, source, "val", "label_ids", [], False, Wanted(), None, 2, lambda *done: None
    )
    groups = [record.group for record in evaluation.records]
    found = summarize(evaluation.matrices, evaluation.extras, groups, source.classes, "exclude")
    for ours, theirs in (
        ("mIoU", "averageScoreClasses"),
        ("mean_category_IoU", "averageScoreCategories"),
        ("mean_iIoU", "averageScoreInstClasses"),
        ("mean_category_iIoU", "averageScoreInstCategories"),
    ):
        assert found[ours] == pytest.approx(expected[theirs], abs=1e-6), ours


def test_classes_are_recognized_by_their_names():
    assert is_cityscapes(CLASS_NAMES)
    assert is_cityscapes([name.replace(" ", "_").capitalize() for name in CLASS_NAMES])
    assert not is_cityscapes(CLASS_NAMES[:18])


def test_train_ids_become_label_ids():
    assert to_label_ids(np.array([0, 10, 18, 255], np.uint8)).tolist() == [7, 23, 33, 0]


def test_ids_outside_the_protocol_are_refused():
    pixel = np.zeros((1, 1), np.uint8)
    with pytest.raises(ValueError, match=r"0\.\.33"):
        instance_counts(pixel + 40, pixel, pixel)
