"""Mask2Former and EoMT are those of transformers: logits, loss with its matching, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models.blocks import pad_to_stride
from segbench.models.eomt import EoMT
from segbench.models.mask2former import Mask2Former
from segbench.models.query_loss import QueryLoss, masks_of_classes
from tests.models.test_transformers import CLASSES, assert_close, image, loaded, shaken

transformers = pytest.importorskip("transformers")

QUERIES = 7
POINTS = 200


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    """In 64 bits: rounding would now and then choose another point or attend to another pixel."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def eomt(side: int, folder: Path, mask_share: float = 1.0) -> tuple[EoMT, nn.Module]:
    config = transformers.EomtConfig(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=side,
        num_blocks=3, num_queries=QUERIES, num_labels=CLASSES, train_num_points=POINTS,
        attn_implementation="eager",  # its fused one misreads a mask in 32 bits
    )  # fmt: skip
    theirs = shaken(transformers.EomtForUniversalSegmentation(config))
    theirs.attn_mask_probs.fill_(mask_share)
    ours = EoMT(CLASSES, image_size=side, num_queries=QUERIES)
    ours.loss = QueryLoss(points=POINTS)
    return loaded(ours, theirs, folder), theirs


def mask2former(folder: Path) -> tuple[Mask2Former, nn.Module]:
    stages = ["stage1", "stage2", "stage3", "stage4"]
    config = transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(out_features=stages, drop_path_rate=0.0),
        feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_layers=2, decoder_layers=4,
        dim_feedforward=256, encoder_feedforward_dim=1024, num_queries=QUERIES,
        num_labels=CLASSES, train_num_points=POINTS,
    )  # fmt: skip
    theirs = shaken(transformers.Mask2FormerForUniversalSegmentation(config))
    ours = Mask2Former(
        CLASSES, num_queries=QUERIES, width=32, pixel_layers=2, decoder_layers=3, drop_path_rate=0.0
    )
    ours.loss = QueryLoss(points=POINTS)
    return loaded(ours, theirs, folder), theirs


def semantic(theirs: nn.Module, padded: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores as in transformers' `post_process_semantic_segmentation`, at the size of the image."""
    found = theirs(padded)
    classes = found.class_queries_logits.softmax(-1)[..., :-1]
    masks = F.interpolate(found.masks_queries_logits, padded.shape[2:], mode="bilinear").sigmoid()
    return torch.einsum("bqc,bqhw->bchw", classes, masks)[..., : size[0], : size[1]].log()


@pytest.mark.parametrize(
    ("mask_share", "side", "size"), [(1.0, 64, (64, 64)), (1.0, 80, (77, 79)), (0.0, 80, (77, 79))]
)
def test_eomt(mask_share: float, side: int, size: tuple[int, int], tmp_path: Path) -> None:
    """With masked attention, as in training, and without, as at its end."""
    ours, theirs = eomt(side, tmp_path, mask_share)
    x = image(size)
    with torch.inference_mode():
        expected = semantic(theirs, pad_to_stride(x, 16), size)
        assert_close(ours(x), expected)


def test_mask2former(tmp_path: Path) -> None:
    ours, theirs = mask2former(tmp_path)
    for size in ((64, 96), (75, 101)):
        x = image(size)
        with torch.inference_mode():
            expected = semantic(theirs, pad_to_stride(x, 32), size)
            assert_close(ours(x), expected)


def labels(size: tuple[int, int]) -> Tensor:
    """Blocks of classes 0, 2, 3 and pixels without a label; the second image lacks some."""
    mask = torch.zeros(2, *size, dtype=torch.uint8)
    mask[:, 20:, :40] = 2
    mask[0, :30, 30:] = 3
    mask[1, 50:] = 255
    return mask


@pytest.mark.parametrize("name", ["eomt", "mask2former"])
def test_loss_and_gradients(name: str, tmp_path: Path) -> None:
    """With the same random points; the matching is part of both."""
    size = (64, 64)
    ours, theirs = eomt(64, tmp_path) if name == "eomt" else mask2former(tmp_path)
    x, mask = image(size), labels(size)
    found, targets = zip(*(masks_of_classes(m, CLASSES, torch.float64) for m in mask), strict=True)
    torch.manual_seed(3)
    theirs.train()
    expected = theirs(x, mask_labels=list(targets), class_labels=list(found)).loss
    torch.manual_seed(3)
    ours.train()
    terms = ours.training_loss(x, mask)
    loss = torch.stack(list(terms.values())).sum()
    assert abs(loss.item() - expected.item()) <= 1e-5 * expected.item()
    expected.backward()
    loss.backward()
    # The gradients of theirs under our names.
    gradients = {key: p.grad for key, p in theirs.named_parameters() if p.grad is not None}
    named = {ours.translate_key(key): value for key, value in gradients.items()}
    joined = ours.adapt_state(named)
    compared = 0
    for key, parameter in ours.named_parameters():
        if key in joined and parameter.grad is not None:
            largest = float(joined[key].abs().max())
            assert (parameter.grad - joined[key]).abs().max() <= 1e-4 * max(largest, 1e-3), key
            compared += 1
    assert compared > 50


def test_a_batch_without_labels_teaches_only_nothing() -> None:
    model = Mask2Former(3, num_queries=3, width=32, pixel_layers=1, decoder_layers=1)
    model.loss = QueryLoss(points=20)
    terms = model.training_loss(image((32, 32)), torch.full((2, 32, 32), 255, dtype=torch.uint8))
    assert terms["mask"] == terms["dice"] == 0
    assert terms["class"] > 0
    torch.stack(list(terms.values())).sum().backward()


def test_masks_are_taken_back_block_by_block() -> None:
    model = EoMT(3, image_size=32, num_queries=4)
    model.set_progress(0.0)
    assert model.mask_shares.tolist() == [1, 1, 1]
    model.set_progress(0.3)
    first, *others = model.mask_shares.tolist()
    assert abs(first - 0.5**0.9) < 1e-6
    assert others == [1, 1]
    model.set_progress(1.0)
    assert model.mask_shares.tolist() == [0, 0, 0]
    x = image((33, 50))
    model.eval()
    with torch.inference_mode():
        assert torch.equal(model(x), model(x))


def test_fewer_queries_than_classes() -> None:
    with pytest.raises(ValueError, match=r"num_queries=4 for 5 classes.*set num_queries to 5"):
        EoMT(5, image_size=32, num_queries=4)
