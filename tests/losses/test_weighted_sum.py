import pytest
import torch

from segbench.losses.cross_entropy import CrossEntropy
from segbench.losses.overlap import Dice
from segbench.losses.weighted_sum import WeightedSum


def test_adds_the_weighted_terms(batch):
    logits, mask = batch()
    ce, dice = CrossEntropy(255), Dice(255)
    loss = WeightedSum({"ce": ce, "dice": dice}, {"dice": 3.0, "ce": 0.5})
    terms = loss.terms(logits, mask)
    assert list(terms) == ["ce", "dice"]
    torch.testing.assert_close(terms["ce"], 0.5 * ce(logits, mask))
    torch.testing.assert_close(terms["dice"], 3 * dice(logits, mask))
    torch.testing.assert_close(loss(logits, mask), terms["ce"] + terms["dice"])


def test_moves_its_losses_with_it():
    loss = WeightedSum({"ce": CrossEntropy(255, [1.0, 2.0])}, {"ce": 1.0}).to("meta")
    assert loss.losses["ce"].class_weights.device.type == "meta"


@pytest.mark.parametrize(
    ("losses", "weights", "message"),
    [
        ({}, {}, "needs one weight for each"),
        ({"ce": CrossEntropy(255)}, {"cee": 1.0}, r"\['ce'\] needs .* not for \['cee'\]"),
        ({"ce": CrossEntropy(255)}, {"ce": -1.0}, "the weight of ce is -1.0"),
    ],
)
def test_wrong_weights_are_refused(losses, weights, message):
    with pytest.raises(ValueError, match=message):
        WeightedSum(losses, weights)
