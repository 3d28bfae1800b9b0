import pytest
import torch

from segbench.losses.lovasz import Lovasz

IGNORE = 255


def reference(logits, mask, classes):
    """Differences of one minus IoU of growing sets of wrong pixels, as in eq. 8 of the paper."""
    probs = logits.softmax(1)
    valid = mask != IGNORE
    losses = []
    for c in range(logits.shape[1]):
        p, inside = probs[:, c][valid], mask[valid] == c
        if classes == "present" and not inside.any():
            continue
        errors = torch.where(inside, 1 - p, p)
        loss, before = 0.0, 0.0
        wrong = torch.zeros_like(inside)
        for i in errors.argsort(descending=True).tolist():
            wrong[i] = True
            union = int((inside | wrong).sum())
            after = 1 - int((inside & ~wrong).sum()) / union
            loss = loss + errors[i] * (after - before)
            before = after
        losses.append(loss)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("classes", ["present", "all"])
def test_agrees_with_the_definition(classes, batch, agree):
    logits, mask = batch()
    agree(Lovasz(IGNORE, classes=classes), lambda z, y: reference(z, y, classes), logits, mask)


def test_image_reduction_agrees_with_the_definition(batch, agree):
    def expected(z, y):
        return (reference(z[:1], y[:1], "present") + reference(z[1:2], y[1:2], "present")) / 2

    agree(Lovasz(IGNORE, "image"), expected, *batch())


def test_is_one_minus_iou_for_certain_predictions():
    mask = torch.tensor([0, 0, 0, 1, 1, 1]).view(1, 1, 6)
    pred = torch.tensor([0, 0, 1, 1, 1, 1])
    logits = 80 * torch.nn.functional.one_hot(pred, 2).T.reshape(1, 2, 1, 6).double()
    expected = 1 - (2 / 3 + 3 / 4) / 2
    assert Lovasz(IGNORE)(logits, mask).item() == pytest.approx(expected)


def test_gradient_keeps_its_digits_over_many_pixels():
    # Differences of IoUs in float32, as in the paper's code, scatter by several percent here.
    torch.manual_seed(0)
    double = torch.randn(1, 2, 1000, 1000, dtype=torch.float64).float().double().requires_grad_()
    single = double.detach().float().requires_grad_()
    mask = torch.randint(0, 2, (1, 1000, 1000))
    (expected,) = torch.autograd.grad(Lovasz(IGNORE)(double, mask), double)
    (gradient,) = torch.autograd.grad(Lovasz(IGNORE)(single, mask), single)
    assert (gradient - expected).abs().max() < 1e-4 * expected.abs().max()
