import pytest
import torch

from segbench.losses.boundary import BoundaryF1

IGNORE = 255


def neighbors(x, n, i, j, radius):
    """All pixels in the square around (i, j), itself included, that lie in the image."""
    rows = range(max(i - radius, 0), min(i + radius + 1, x.shape[1]))
    columns = range(max(j - radius, 0), min(j + radius + 1, x.shape[2]))
    return torch.stack([x[n, k, m] for k in rows for m in columns])


def grow(x, radius):
    return torch.stack(
        [
            neighbors(x, n, i, j, radius).max()
            for n in range(x.shape[0])
            for i in range(x.shape[1])
            for j in range(x.shape[2])
        ]
    ).view(x.shape)


def reference(logits, mask, tolerance):
    valid = (mask != IGNORE).double()
    probs = logits.softmax(1)
    losses = []
    for c in range(logits.shape[1]):
        outlines = []
        for inside in ((mask == c).double(), probs[:, c]):
            outside = (1 - inside) * valid
            outlines.append((grow(outside, 1) - outside) * valid)
        true, pred = outlines
        if true.sum() == 0:
            continue
        precision = (pred * grow(true, tolerance)).sum() / pred.sum()
        recall = (true * grow(pred, tolerance)).sum() / true.sum()
        losses.append(1 - 2 * precision * recall / (precision + recall))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("tolerance", [0, 1, 2])
def test_agrees_with_the_formula(tolerance, batch, agree):
    logits, mask = batch(num_classes=3, height=6, width=7)
    agree(BoundaryF1(IGNORE, tolerance), lambda z, y: reference(z, y, tolerance), logits, mask)


def square(shift, size=16):
    mask = torch.zeros(1, size, size).long()
    mask[:, 4:10, 4 + shift : 10 + shift] = 1
    return mask


def certain(mask):
    return 60 * torch.nn.functional.one_hot(mask, 2).movedim(-1, 1).float()


def test_shifts_within_the_tolerance_cost_nothing():
    loss = BoundaryF1(IGNORE, tolerance=2)
    values = [loss(certain(square(shift)), square(0)).item() for shift in range(5)]
    assert values[:3] == pytest.approx([0, 0, 0], abs=1e-6)
    assert 0.05 < values[3] < values[4]


def test_an_image_of_one_class_has_no_boundary():
    logits = torch.randn(1, 2, 8, 8, requires_grad=True)
    mask = torch.zeros(1, 8, 8).long()
    mask[:, 3:5] = IGNORE
    value = BoundaryF1(IGNORE)(logits, mask)
    value.backward()
    assert value == 0
    assert (logits.grad == 0).all()
    assert BoundaryF1(IGNORE, classes="all")(logits, mask) == 1
    assert BoundaryF1(IGNORE, classes="all")(certain(mask * 0), mask) == 0
