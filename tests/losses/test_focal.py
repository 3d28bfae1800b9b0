import pytest
import torch

from segbench.losses.cross_entropy import CrossEntropy
from segbench.losses.focal import Focal

IGNORE = 255


def reference(logits, mask, gamma, weights):
    probs = logits.exp() / logits.exp().sum(1, keepdim=True)
    total, weight = 0.0, 0.0
    for n, i, j in (mask != IGNORE).nonzero().tolist():
        label = int(mask[n, i, j])
        p = probs[n, label, i, j]
        total = total - weights[label] * (1 - p) ** gamma * p.log()
        weight += weights[label]
    return total / weight


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.0, 0.3, 3.0]])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_agrees_with_the_formula(gamma, weights, batch, agree):
    logits, mask = batch()
    loss = Focal(IGNORE, gamma, weights)
    agree(loss, lambda z, y: reference(z, y, gamma, weights or [1.0] * 5), logits, mask)


def test_without_gamma_it_is_cross_entropy(batch):
    logits, mask = batch()
    torch.testing.assert_close(Focal(IGNORE, 0.0)(logits, mask), CrossEntropy(IGNORE)(logits, mask))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_certain_pixels_have_a_finite_gradient(gamma):
    logits = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1).requires_grad_()
    value = Focal(IGNORE, gamma)(logits, torch.zeros(1, 1, 1).byte())
    value.backward()
    assert value == 0
    assert (logits.grad == 0).all()
