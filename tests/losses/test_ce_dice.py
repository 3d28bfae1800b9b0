import pytest
import torch

from segbench.losses import class_sums
from segbench.losses.ce_dice import CEDice
from segbench.losses.cross_entropy import CrossEntropy
from segbench.losses.overlap import Dice

IGNORE = 255
WEIGHTS = [0.5, 2.0, 1.0, 0.0, 3.0]


def reference(logits, mask, weights, smoothing, smooth):
    """Cross entropy and Dice from softmax and one-hot, all classes at full size."""
    num_classes = logits.shape[1]
    valid = mask != IGNORE
    z, y = logits.movedim(1, -1)[valid], mask[valid]
    one_hot = torch.nn.functional.one_hot(y, num_classes).to(z.dtype)
    w = torch.tensor(weights, dtype=z.dtype)
    target = (1 - smoothing) * one_hot + smoothing / num_classes
    ce = -(target * w * z.log_softmax(1)).sum() / w[y].sum()
    p = z.softmax(1)
    present = one_hot.sum(0) > 0
    score = (2 * (p * one_hot).sum(0) + smooth) / (p.sum(0) + one_hot.sum(0) + smooth)
    return ce, (1 - score)[present].mean()


@pytest.mark.parametrize("weights", [[1.0] * 5, WEIGHTS])
@pytest.mark.parametrize(("smoothing", "smooth"), [(0.0, 0.0), (0.1, 2.0)])
def test_agrees_with_the_formula(weights, smoothing, smooth, batch, agree):
    def expected(z, y):
        ce, dice = reference(z, y, weights, smoothing, smooth)
        return 0.7 * ce + 2 * dice

    agree(CEDice(IGNORE, weights, smoothing, smooth, 0.7, 2.0), expected, *batch())


@pytest.mark.parametrize("reduction", ["batch", "image"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_is_the_sum_of_the_two_losses(reduction, smoothing, batch):
    logits, mask = batch()
    loss = CEDice(IGNORE, WEIGHTS, smoothing, 1.0, reduction=reduction)
    terms = loss.terms(logits, mask)
    ce = CrossEntropy(IGNORE, WEIGHTS, smoothing, reduction)(logits, mask)
    dice = Dice(IGNORE, 1.0, reduction)(logits, mask)
    torch.testing.assert_close(terms["ce"], ce)
    torch.testing.assert_close(terms["dice"], dice)
    torch.testing.assert_close(loss(logits, mask), ce + dice)


@pytest.mark.parametrize("elements", [1, 100, 5 * 7 * 9 * 2, 10**6])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bands_do_not_change_the_result(elements, smoothing, batch, monkeypatch):
    """One row at a time, some rows, two of three images, everything together."""
    logits, mask = batch()
    logits.requires_grad_()
    ce, dice = reference(logits, mask, WEIGHTS, smoothing, 0.0)
    (expected,) = torch.autograd.grad(ce + dice, logits)
    monkeypatch.setattr(class_sums, "BAND_CPU", elements)
    value = CEDice(IGNORE, WEIGHTS, smoothing)(logits, mask)
    (gradient,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(value, ce + dice)
    torch.testing.assert_close(gradient, expected)


def test_gradcheck_of_every_sum(batch):
    logits, mask = batch(images=2, num_classes=4, height=2, width=3)

    def sums(z):
        return tuple(class_sums.class_sums(z, mask, IGNORE, smoothing=True))[:4]

    assert torch.autograd.gradcheck(sums, logits.requires_grad_())


def test_a_million_pixels_are_exact_to_1e_6():
    torch.manual_seed(0)
    logits = torch.randn(4, 5, 512, 512, dtype=torch.float64) * 3
    mask = torch.randint(0, 5, (4, 512, 512), dtype=torch.uint8)
    mask[:, :40] = IGNORE
    logits.requires_grad_()
    ce, dice = reference(logits, mask.long(), [1.0] * 5, 0.0, 0.0)
    (expected,) = torch.autograd.grad(ce + dice, logits)
    single = logits.detach().float().requires_grad_()
    terms = CEDice(IGNORE).terms(single, mask)
    (gradient,) = torch.autograd.grad(terms["ce"] + terms["dice"], single)
    assert abs(terms["ce"].item() - ce.item()) < 1e-6
    assert abs(terms["dice"].item() - dice.item()) < 1e-6
    assert (gradient - expected).abs().max() < 1e-6 * expected.abs().max()


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_large_logits_keep_their_differences(offset, batch):
    logits, mask = batch()
    moved = (logits.float() + offset).requires_grad_()  # rounded here, not in the loss
    exact = moved.detach().double().requires_grad_()
    ce, dice = reference(exact, mask, [1.0] * 5, 0.0, 0.0)
    (expected,) = torch.autograd.grad(ce + dice, exact)
    value = CEDice(IGNORE)(moved, mask)
    (gradient,) = torch.autograd.grad(value, moved)
    torch.testing.assert_close(value.double(), ce + dice, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-5, atol=1e-8)


def test_layouts_and_views_are_accepted(batch):
    logits, mask = batch()
    expected = CEDice(IGNORE)(logits, mask)
    last = logits.contiguous(memory_format=torch.channels_last).requires_grad_()
    value = CEDice(IGNORE)(last, mask.transpose(1, 2).contiguous().transpose(1, 2))
    (gradient,) = torch.autograd.grad(value, last)
    torch.testing.assert_close(value, expected)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    plain = logits.clone().requires_grad_()
    torch.testing.assert_close(gradient, torch.autograd.grad(CEDice(IGNORE)(plain, mask), plain)[0])


def test_gradients_accumulate_upstream(batch):
    logits, mask = batch()
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    (5 * CEDice(IGNORE)(scale * logits, mask)).backward()
    step = 1e-6
    up, down = (CEDice(IGNORE)((1 + s) * logits, mask) for s in (step, -step))
    assert scale.grad.item() == pytest.approx(5 * (up - down).item() / (2 * step), rel=1e-6)


@pytest.mark.slow
def test_compiles(batch):
    logits, mask = batch()
    logits.requires_grad_()
    expected = CEDice(IGNORE)(logits, mask)
    actual = torch.compile(CEDice(IGNORE), backend="aot_eager")(logits, mask)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(
        torch.autograd.grad(actual, logits), torch.autograd.grad(expected, logits)
    )


def test_works_without_gradients(batch):
    logits, mask = batch()
    with torch.inference_mode():
        assert CEDice(IGNORE)(logits, mask) > 0
