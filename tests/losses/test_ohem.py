import math

import pytest
import torch

from segbench.losses.cross_entropy import CrossEntropy
from segbench.losses.ohem import OHEM

IGNORE = 255


def reference(logits, mask, threshold, min_kept, weights):
    """Sorts all labeled pixels by the probability of their class and keeps the hard ones."""
    probs = logits.exp() / logits.exp().sum(1, keepdim=True)
    pixels = [
        (probs[n, mask[n, i, j], i, j], weights[mask[n, i, j]])
        for n, i, j in (mask != IGNORE).nonzero().tolist()
    ]
    pixels.sort(key=lambda pixel: pixel[0].item())
    kept = max(sum(p.item() < threshold for p, _ in pixels), min_kept)
    chosen = pixels[:kept]
    return sum(-p.log() * w for p, w in chosen) / sum(w for _, w in chosen)


@pytest.mark.parametrize("weights", [[1.0] * 5, [0.5, 2.0, 1.0, 0.3, 3.0]])
@pytest.mark.parametrize(("threshold", "min_kept"), [(0.2, 1), (0.2, 70), (0.0, 11), (0.9, 5000)])
def test_agrees_with_the_formula(threshold, min_kept, weights, batch, agree):
    logits, mask = batch()
    loss = OHEM(IGNORE, threshold, min_kept, weights)
    agree(loss, lambda z, y: reference(z, y, threshold, min_kept, weights), logits, mask)


def test_easy_pixels_get_no_gradient(batch):
    logits, mask = batch(images=1)
    logits.requires_grad_()
    OHEM(IGNORE, threshold=0.0, min_kept=4)(logits, mask).backward()
    assert (logits.grad.abs().sum(1) > 0).sum() == 4


def test_is_cross_entropy_when_every_pixel_is_kept(batch):
    logits, mask = batch()
    weights = [0.5, 2.0, 1.0, 0.3, 3.0]
    expected = CrossEntropy(IGNORE, weights)(logits, mask)
    torch.testing.assert_close(OHEM(IGNORE, 1.0, 1, weights)(logits, mask), expected)
    torch.testing.assert_close(OHEM(IGNORE, 0.0, 10**6, weights)(logits, mask), expected)


def test_pixels_that_tie_with_the_last_kept_one_count_too():
    loss = OHEM(IGNORE, threshold=0.0, min_kept=1)
    logits = torch.zeros(1, 2, 2, 2, requires_grad=True)
    value = loss(logits, torch.zeros(1, 2, 2).byte())
    value.backward()
    assert value.item() == pytest.approx(math.log(2))
    assert (logits.grad[:, 0] == -0.125).all()
