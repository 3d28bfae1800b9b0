"""What all losses share; each family's formula has its own file."""

import pytest
import torch

from segbench.losses.boundary import BoundaryF1
from segbench.losses.ce_dice import CEDice
from segbench.losses.convention import check_inputs, mean_of
from segbench.losses.cross_entropy import CrossEntropy
from segbench.losses.focal import Focal
from segbench.losses.lovasz import Lovasz
from segbench.losses.ohem import OHEM
from segbench.losses.overlap import Dice, Jaccard, Tversky
from segbench.losses.weighted_sum import WeightedSum

IGNORE = 255


def sum_of_two(ignore_index, reduction="batch"):
    losses = {
        "ce": CrossEntropy(ignore_index, reduction=reduction),
        "lovasz": Lovasz(ignore_index, reduction),
    }
    return WeightedSum(losses, {"ce": 1.0, "lovasz": 0.5})


def small_ohem(ignore_index, reduction="batch"):
    return OHEM(ignore_index, threshold=0.3, min_kept=20, reduction=reduction)


LOSSES = {
    "ce": CrossEntropy,
    "ohem": small_ohem,
    "focal": Focal,
    "dice": Dice,
    "jaccard": Jaccard,
    "tversky": Tversky,
    "lovasz": Lovasz,
    "boundary": BoundaryF1,
    "ce_dice": CEDice,
    "sum": sum_of_two,
}
PER_CLASS = ["dice", "jaccard", "tversky", "lovasz", "boundary", "ce_dice"]
WEIGHTED = {"ce": CrossEntropy, "ohem": OHEM, "focal": Focal, "ce_dice": CEDice}

every_loss = pytest.mark.parametrize("name", LOSSES)


def value_and_gradient(loss, logits, mask):
    logits = logits.clone().requires_grad_()
    value = loss(logits, mask)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


@every_loss
def test_ignored_pixels_have_no_influence(name, batch):
    logits, mask = batch()
    value, gradient = value_and_gradient(LOSSES[name](IGNORE), logits, mask)
    ignored = (mask == IGNORE)[:, None].expand_as(logits)
    assert gradient[ignored].abs().max() == 0
    assert gradient[~ignored].abs().max() > 0
    changed = torch.where(ignored, 50 * torch.randn_like(logits), logits)
    torch.testing.assert_close(LOSSES[name](IGNORE)(changed, mask), value)


@every_loss
@pytest.mark.parametrize("reduction", ["batch", "image"])
def test_nothing_but_ignored_pixels_is_zero_with_zero_gradient(name, reduction, batch):
    logits, mask = batch()
    loss = LOSSES[name](IGNORE, reduction=reduction)
    value, gradient = value_and_gradient(loss, logits.float(), torch.full_like(mask, IGNORE))
    assert value == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@every_loss
def test_image_reduction_is_the_mean_over_labeled_images(name, batch):
    logits, mask = batch(images=4)
    alone = [LOSSES[name](IGNORE)(logits[i : i + 1], mask[i : i + 1]) for i in range(3)]
    actual = LOSSES[name](IGNORE, reduction="image")(logits, mask)
    assert (mask[3] == IGNORE).all()
    torch.testing.assert_close(actual, torch.stack(alone).mean())
    together = LOSSES[name](IGNORE)(logits, mask)
    assert abs(actual - together) > 1e-4  # else the argument would do nothing


@every_loss
def test_gradient_is_the_derivative(name, batch):
    logits, mask = batch(images=2, height=3, width=4)
    loss = LOSSES[name](IGNORE)
    assert torch.autograd.gradcheck(lambda z: loss(z, mask), logits.requires_grad_())


@every_loss
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_any_integer_mask_is_accepted(name, dtype, batch):
    logits, mask = batch()
    expected = LOSSES[name](IGNORE)(logits, mask)
    torch.testing.assert_close(LOSSES[name](IGNORE)(logits, mask.to(dtype)), expected)


@every_loss
def test_negative_ignore_index_works(name, batch):
    logits, mask = batch()
    expected = LOSSES[name](IGNORE)(logits, mask)
    mask[mask == IGNORE] = -100
    torch.testing.assert_close(LOSSES[name](-100)(logits, mask), expected)


@every_loss
def test_ignoring_a_class_of_the_set_works(name, batch):
    logits, mask = batch()
    expected = LOSSES[name](IGNORE)(logits, mask)
    torch.testing.assert_close(
        LOSSES[name](2)(logits, mask.masked_fill(mask == IGNORE, 2)), expected
    )


@every_loss
def test_mask_and_logits_are_not_modified(name, batch):
    logits, mask = batch()
    before = logits.clone(), mask.clone()
    value_and_gradient(LOSSES[name](IGNORE), logits, mask)
    assert torch.equal(logits, before[0])
    assert torch.equal(mask, before[1])


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_logits_are_computed_in_float32(name, dtype, batch):
    logits, mask = batch()
    half = logits.to(dtype)
    expected, expected_gradient = value_and_gradient(LOSSES[name](IGNORE), half.float(), mask)
    with torch.autocast("cpu", torch.bfloat16):
        value, gradient = value_and_gradient(LOSSES[name](IGNORE), half, mask)
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient, expected_gradient.to(dtype))


@every_loss
def test_half_logits_of_a_large_image_stay_finite(name):
    torch.manual_seed(0)
    logits = (torch.randn(1, 3, 1024, 1024) * 2000).half()
    mask = torch.randint(0, 3, (1, 1024, 1024), dtype=torch.uint8)
    value, gradient = value_and_gradient(LOSSES[name](IGNORE), logits, mask)
    assert 0 < value < torch.inf
    assert gradient.isfinite().all()


@every_loss
@pytest.mark.parametrize("num_classes", [1, 2, 150])
def test_any_number_of_classes(name, num_classes, batch):
    logits, mask = batch(num_classes=num_classes)
    value, gradient = value_and_gradient(LOSSES[name](IGNORE), logits, mask)
    assert gradient.isfinite().all()
    if num_classes == 1:
        assert value.abs() < 1e-12  # softmax over one class is certain
        assert gradient.abs().max() < 1e-12
    else:
        assert value > 0.01


@every_loss
def test_a_perfect_prediction_costs_nothing(name, batch):
    logits, mask = batch()
    labels = mask.masked_fill(mask == IGNORE, 0)
    perfect = 30 * torch.nn.functional.one_hot(labels, logits.shape[1]).movedim(-1, 1).float()
    assert LOSSES[name](IGNORE)(perfect, mask).abs() < 1e-6
    assert LOSSES[name](IGNORE)(-perfect, mask) > 0.5


@every_loss
def test_one_pixel_and_no_image(name):
    loss = LOSSES[name](IGNORE)
    value, gradient = value_and_gradient(loss, torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1).int())
    assert value.isfinite()
    assert gradient.isfinite().all()
    value, _ = value_and_gradient(loss, torch.zeros(0, 2, 4, 4), torch.ones(0, 4, 4).int())
    assert value == 0


@every_loss
def test_descent_on_the_logits_lowers_the_loss(name, batch):
    logits, mask = batch()
    loss = LOSSES[name](IGNORE)
    value, gradient = value_and_gradient(loss, logits, mask)
    assert loss(logits - 0.1 * gradient / gradient.norm(), mask) < value


@every_loss
@pytest.mark.parametrize(
    ("logits", "mask", "message"),
    [
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4).long(), "without a channel axis"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 8, 8).long(), r"\[2, 4, 4\]"),
        (torch.zeros(2, 3, 4), torch.zeros(2, 4).long(), "before softmax"),
        (torch.zeros(2, 3, 4, 4).long(), torch.zeros(2, 4, 4).long(), "float logits"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4), "integer class ids"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4).bool(), "integer class ids"),
        (torch.zeros(2, 3, 4, 4), torch.full((2, 4, 4), 3), "label 3, outside 0..2"),
        (torch.zeros(2, 3, 4, 4), torch.full((2, 4, 4), 7).byte(), "label 7, outside 0..2"),
        (torch.zeros(2, 3, 4, 4), torch.full((2, 4, 4), -1), "label -1, outside 0..2"),
    ],
)
def test_wrong_input_is_refused(name, logits, mask, message):
    with pytest.raises(ValueError, match=message):
        LOSSES[name](IGNORE)(logits, mask)


def test_labels_are_not_checked_on_an_accelerator():
    logits, mask = torch.zeros(1, 3, 4, 4, device="meta"), torch.zeros(1, 4, 4, device="meta")
    check_inputs(logits, mask.long(), IGNORE)  # a look at a meta tensor would raise
    with pytest.raises(ValueError, match="integer"):
        check_inputs(logits, mask, IGNORE)


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("reduction", ["batch", "image"])
def test_class_weights_scale_cancels_and_zero_drops_a_class(name, reduction, batch):
    logits, mask = batch()
    make = WEIGHTED[name]
    ones = make(IGNORE, class_weights=[1.0] * 5, reduction=reduction)(logits, mask)
    threes = make(IGNORE, class_weights=[3.0] * 5, reduction=reduction)(logits, mask)
    plain = make(IGNORE, reduction=reduction)(logits, mask)
    torch.testing.assert_close(ones, plain)
    torch.testing.assert_close(threes, plain)
    if name != "ce_dice":
        dropped = make(IGNORE, class_weights=[0.0, 1, 1, 1, 1], reduction=reduction)(logits, mask)
        ignored = make(IGNORE, reduction=reduction)(logits, mask.masked_fill(mask == 0, IGNORE))
        torch.testing.assert_close(dropped, ignored)


@pytest.mark.parametrize("name", WEIGHTED)
def test_wrong_class_weights_are_refused(name, batch):
    for weights in ([1.0, -1.0], [0.0, 0.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="class_weights"):
            WEIGHTED[name](IGNORE, class_weights=weights)
    with pytest.raises(ValueError, match="2 class_weights for logits with 5 classes"):
        WEIGHTED[name](IGNORE, class_weights=[1.0, 2.0])(*batch())


@pytest.mark.parametrize("name", WEIGHTED)
def test_class_weights_stay_out_of_the_state_dict(name):
    loss = WEIGHTED[name](IGNORE, class_weights=[1.0, 2.0])
    assert not loss.state_dict()
    assert loss.to("meta").class_weights.device.type == "meta"


@every_loss
def test_unknown_options_are_refused(name):
    with pytest.raises(ValueError, match="expected 'batch' or 'image'"):
        LOSSES[name](IGNORE, reduction="mean")
    if name in PER_CLASS:
        with pytest.raises(ValueError, match="expected 'present' or 'all'"):
            LOSSES[name](IGNORE, classes="every")


def test_numbers_out_of_range_are_refused():
    for make in (
        lambda: CrossEntropy(IGNORE, label_smoothing=1.5),
        lambda: CEDice(IGNORE, dice_weight=-1.0),
        lambda: OHEM(IGNORE, threshold=2.0),
        lambda: OHEM(IGNORE, min_kept=0),
        lambda: Focal(IGNORE, gamma=-1.0),
        lambda: Dice(IGNORE, smooth=float("nan")),
        lambda: Tversky(IGNORE, alpha=-0.1),
        lambda: BoundaryF1(IGNORE, tolerance=-1),
    ):
        with pytest.raises(ValueError, match="expected a number"):
            make()


def test_mean_of_skips_images_without_weight():
    numerator, denominator = torch.tensor([6.0, 0.0, 1.0]), torch.tensor([2.0, 0.0, 1.0])
    assert mean_of(numerator, denominator, "batch") == torch.tensor(7 / 3)
    assert mean_of(numerator, denominator, "image") == 2
