"""docs/metrics.md: its numbers still hold, and every program differs by the rule it names."""

import re

import numpy as np
import pytest
import torch

from segbench.metrics.confusion import confusion_matrix
from segbench.metrics.scores import class_iou, mean_over_classes, overlap, scores
from tools import metrics_page, other_metrics

NAMES = metrics_page.NAMES


def column(text: str, head: str) -> list[list[str]]:
    """The cells of the table whose header contains `head`."""
    part = text[text.index(head) :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in part.splitlines()[2:]]  # fmt: skip


@pytest.fixture(scope="module")
def page() -> str:
    return metrics_page.PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows(page) -> dict[str, float]:
    cells = column(page, "| program | score |")
    return {f"{row[0]} {row[1]}": float(row[3]) for row in cells}


@pytest.fixture(scope="module")
def counts(page) -> np.ndarray:
    """Hits, labeled and predicted pixels `[3, C]`."""
    found = column(page, "| class | right |")
    assert [row[0] for row in found] == list(NAMES)
    return np.array([[int(cell) for cell in row[1:]] for row in found]).T


def test_segbench_scores_the_counts_of_the_page_as_the_page_says(rows, counts):
    hits, labeled, predicted = counts
    iou = overlap(hits, labeled + predicted - hits)
    for policy in ("exclude", "zero", "one"):
        name = next(name for name in rows if f"absent_classes={policy}" in name)
        expected = float(mean_over_classes(iou, policy))
        assert rows[name] == pytest.approx(100 * expected, abs=5.1e-5)
    assert labeled.max() > 2**24
    assert ((labeled == 0) & (predicted == 0)).any()
    assert ((labeled == 0) & (predicted > 0)).any()


def test_the_checkpoint_still_predicts_the_first_image_so(page):
    source, records = metrics_page.records()
    maps = metrics_page.predict(source, records[:1])
    stated = float(re.search(r"has an mIoU of ([\d.]+)%", page)[1])
    assert 100 * scores(maps.matrices[0], NAMES)["mIoU"] == pytest.approx(stated, abs=0.02)


def test_what_other_programs_sum_follows_from_the_counts_too(rows, counts):
    hits, labeled, predicted = counts
    union = labeled + predicted - hits
    iou = overlap(hits, union)
    micro = hits.sum() / union.sum()
    for name, value in {
        "averageScoreClasses": np.nanmean(iou), "mean_iou, ignore_index": np.nanmean(iou),
        "IoUMetric": np.nanmean(iou), 'average="macro"': np.nanmean(iou),
        'average="micro"': micro, 'reduction="micro"': micro,
        'reduction="macro"': np.where(union > 0, iou, 1).mean(),
        "SemanticMetrics": iou[labeled > 0].mean(),
    }.items():  # fmt: skip
        found = next(value for key, value in rows.items() if name in key)
        assert found == pytest.approx(100 * value, abs=6e-3), name


def small_maps(seed: int = 0):
    """Four images with void; class 4 is nowhere, class 3 only predicted."""
    rng = np.random.default_rng(seed)
    masks = [rng.integers(0, 3, (40, 50)).astype(np.uint8) for _ in range(4)]
    preds = [
        np.where(rng.random(m.shape) < 0.6, m, rng.integers(0, 4, m.shape)).astype(np.uint8)
        for m in masks
    ]
    for mask in masks:
        mask[:3] = 255
    masks[0][masks[0] == 2] = 1
    return preds, masks, 5


@pytest.mark.parametrize("tool", other_metrics.tools(), ids=lambda tool: tool.setting)
def test_every_program_differs_by_its_rule_and_by_nothing_else(tool):
    preds, masks, number = small_maps()
    matrices = np.stack([confusion_matrix(p, m, number) for p, m in zip(preds, masks, strict=True)])
    total = matrices.sum(axis=0)
    iou = class_iou(total)
    hits = np.diagonal(total[:, :number]).sum()
    micro = hits / (2 * total.sum() - hits)
    each = class_iou(matrices)
    expected = {
        "averageScoreClasses": np.nanmean(iou),
        'MulticlassJaccardIndex(average="macro", ignore_index=255)': np.nanmean(iou),
        'segmentation.MeanIoU(input_format="index")': with_void_as_a_class(preds, masks, number),
        "IoUMetric, mIoU": np.round(np.nanmean(iou), 4),
        "mean_iou, ignore_index=255": np.nanmean(iou),
        'MulticlassJaccardIndex(average="micro")': micro,
        "SemanticMetrics.miou": iou[total.sum(axis=1) > 0].mean(),
        'iou_score(reduction="macro")': np.nan_to_num(iou, nan=1.0).mean(),
        'iou_score(reduction="micro")': micro,
        'iou_score(reduction="macro-imagewise")': np.nan_to_num(each, nan=1.0).mean(),
        'iou_score(reduction="micro-imagewise")': np.mean(
            [(h := np.diagonal(m[:, :number]).sum()) / (2 * m.sum() - h) for m in matrices]
        ),
    }[tool.setting]
    assert tool.score(preds, masks, number) == pytest.approx(float(expected), abs=1e-6)


def with_void_as_a_class(preds, masks, number: int) -> float:
    values = []
    for pred, mask in zip(preds, masks, strict=True):
        mask = np.where(mask == 255, number, mask)
        for k in range(number + 1):
            union = ((pred == k) | (mask == k)).sum()
            if union:
                values.append(((pred == k) & (mask == k)).sum() / union)
    return float(np.mean(values))


def test_the_formulas_are_those_of_the_installed_programs():
    maps = small_maps(1)
    for module, real, formula in (
        ("mmseg", other_metrics.mmsegmentation, other_metrics.mmsegmentation_formula),
        ("ultralytics", other_metrics.ultralytics, other_metrics.ultralytics_formula),
    ):
        if other_metrics._has(module):
            assert real(*maps) == pytest.approx(formula(*maps), abs=1e-6)


def test_float32_does_not_count_beyond_its_whole_numbers():
    """Why the size of a class matters: one pixel more than 2^24 is lost."""
    assert float(torch.tensor(2.0**24) + 1) == 2**24


@pytest.mark.slow
def test_the_page_is_remade_with_the_same_numbers(page, rows):
    maps = metrics_page.checked(metrics_page.predict(*metrics_page.records()))
    again = metrics_page.page(maps, other_metrics.tools())
    for row in column(again, "| program | score |"):
        assert float(row[3]) == pytest.approx(rows[f"{row[0]} {row[1]}"], abs=0.01)
    reasons = "## The reason for each difference"
    assert (
        again.split(reasons)[1].split("## The counts")[0]
        == page.split(reasons)[1].split("## The counts")[0]
    )
