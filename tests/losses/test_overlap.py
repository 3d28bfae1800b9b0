import pytest
import torch

from segbench.losses.overlap import Dice, Jaccard, Tversky

IGNORE = 255


def soft_counts(logits, mask):
    """True positives, false positives, false negatives `[C]` and which classes are present."""
    probs = logits.exp() / logits.exp().sum(1, keepdim=True)
    valid = mask != IGNORE
    rows = []
    for c in range(logits.shape[1]):
        p, inside = probs[:, c][valid], (mask[valid] == c).double()
        rows.append(
            torch.stack([(p * inside).sum(), (p * (1 - inside)).sum(), ((1 - p) * inside).sum()])
        )
    present = torch.tensor([bool((mask == c).any()) for c in range(logits.shape[1])])
    return torch.stack(rows, 1), present


def dice(tp, fp, fn, smooth):
    return 1 - (2 * tp + smooth) / (2 * tp + fp + fn + smooth)


def jaccard(tp, fp, fn, smooth):
    return 1 - (tp + smooth) / (tp + fp + fn + smooth)


def focal_tversky(tp, fp, fn, smooth):
    return (1 - (tp + smooth) / (tp + 0.2 * fp + 0.6 * fn + smooth)) ** 0.75


def tversky(ignore_index, smooth, reduction, classes):
    return Tversky(ignore_index, 0.2, 0.6, 0.75, smooth, reduction, classes)


PAIRS = [(Dice, dice), (Jaccard, jaccard), (tversky, focal_tversky)]


@pytest.mark.parametrize(("make", "formula"), PAIRS)
@pytest.mark.parametrize("classes", ["present", "all"])
@pytest.mark.parametrize("smooth", [0.0, 3.0])
@pytest.mark.parametrize("reduction", ["batch", "image"])
def test_agrees_with_the_formula(make, formula, classes, smooth, reduction, batch, agree):
    logits, mask = batch()

    def one(z, y):
        counts, present = soft_counts(z, y)
        losses = formula(*counts, smooth)
        return losses[present].mean() if classes == "present" else losses.mean()

    def expected(z, y):
        if reduction == "batch":
            return one(z, y)
        return (one(z[:1], y[:1]) + one(z[1:2], y[1:2])) / 2  # the third image is ignored

    agree(make(IGNORE, smooth=smooth, reduction=reduction, classes=classes), expected, logits, mask)


def test_tversky_with_equal_weights_is_dice_or_jaccard(batch):
    logits, mask = batch()
    for price, same in ((0.5, Dice), (1.0, Jaccard)):
        torch.testing.assert_close(
            Tversky(IGNORE, price, price)(logits, mask), same(IGNORE)(logits, mask)
        )


def test_an_absent_class_counts_only_if_requested():
    certain = torch.tensor([40.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    mask = torch.zeros(1, 4, 4).byte()
    assert Dice(IGNORE)(certain, mask) < 1e-6
    assert Dice(IGNORE, classes="all")(certain, mask) > 0.6  # two of three classes score 0
    never = certain.clone()
    never[:, 1:] = -torch.inf
    assert Dice(IGNORE, classes="all")(never, mask) == 0
