import pytest
import torch

from segbench.losses.cross_entropy import CrossEntropy

IGNORE = 255


def reference(logits, mask, weights, smoothing):
    """-sum over c of t_c w_c log p_c, with t = (1 - s) one_hot + s / C, over the sum of w_y."""
    num_classes = logits.shape[1]
    log_probs = logits - logits.exp().sum(1, keepdim=True).log()
    total, weight = 0.0, 0.0
    for n, i, j in (mask != IGNORE).nonzero().tolist():
        label = int(mask[n, i, j])
        for c in range(num_classes):
            target = (1 - smoothing) * (c == label) + smoothing / num_classes
            total = total - target * weights[c] * log_probs[n, c, i, j]
        weight += weights[label]
    return total / weight


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.0, 0.0, 3.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_agrees_with_the_formula(weights, smoothing, batch, agree):
    logits, mask = batch()
    loss = CrossEntropy(IGNORE, class_weights=weights, label_smoothing=smoothing)
    agree(loss, lambda z, y: reference(z, y, weights or [1.0] * 5, smoothing), logits, mask)


def test_image_reduction_weights_every_image_equally(batch, agree):
    logits, mask = batch()
    weights = [0.5, 2.0, 1.0, 0.2, 3.0]

    def expected(z, y):
        return sum(reference(z[i : i + 1], y[i : i + 1], weights, 0.0) for i in range(2)) / 2

    agree(CrossEntropy(IGNORE, weights, reduction="image"), expected, logits, mask)


def test_two_million_pixels_do_not_cost_digits():
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 1024, 2048) * 5
    mask = torch.randint(0, 2, (1, 1024, 2048), dtype=torch.uint8)
    single = CrossEntropy(IGNORE)(logits, mask)
    torch.testing.assert_close(
        single.double(), CrossEntropy(IGNORE)(logits.double(), mask), rtol=1e-7, atol=0
    )
