"""Special features of PIDNet, SegNeXt and similar: boundaries, factorization, image channels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models.bisenetv2 import BiSeNetV2
from segbench.models.ddrnet import DDRNet
from segbench.models.pidnet import PIDNet, boundary_loss, near_another_class
from segbench.models.segnext import SegNeXt, factorize
from segbench.models.weights import load_weights

IGNORED = 255


def small_segnext(seed: int = 0) -> SegNeXt:
    torch.manual_seed(seed)
    return SegNeXt(3, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_width=32)


@pytest.mark.parametrize("in_channels", [1, 4])
@pytest.mark.parametrize("model", [BiSeNetV2, DDRNet, PIDNet, SegNeXt])
def test_images_of_other_channels(model: type[nn.Module], in_channels: int) -> None:
    network = model(2, in_channels=in_channels).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, in_channels, 20, 30)).shape == (1, 2, 20, 30)


def test_a_boundary_is_four_pixels_wide() -> None:
    mask = torch.zeros(1, 12, 12, dtype=torch.uint8)
    mask[..., 6:] = 9
    expected = torch.zeros(1, 12, 12, dtype=torch.bool)
    expected[..., 4:8] = True
    assert torch.equal(near_another_class(mask, IGNORED), expected)


def test_pixels_without_a_label_make_no_boundary() -> None:
    mask = torch.zeros(1, 12, 12, dtype=torch.uint8)
    mask[..., 6:] = IGNORED
    assert not near_another_class(mask, IGNORED).any()
    mask[..., 11] = 3  # far from the zeros
    assert not near_another_class(mask, IGNORED).any()
    mask[..., 7] = 3  # two away from them
    near = near_another_class(mask, IGNORED)
    assert near[0, 0].nonzero().flatten().tolist() == [5, 7]


def test_boundary_loss_weights_both_kinds_equally() -> None:
    """The authors' formula: pixels of one kind are weighted by the share of the other kind."""
    torch.manual_seed(0)
    mask = torch.zeros(2, 9, 10, dtype=torch.long)
    mask[:, 4:] = 1
    logits = torch.randn(2, 1, 9, 10)
    target = near_another_class(mask, IGNORED).float()
    share = target.mean()
    expected = F.binary_cross_entropy(
        logits[:, 0].sigmoid(), target, weight=target * (1 - share) + (1 - target) * share
    )
    torch.testing.assert_close(boundary_loss(logits, mask, IGNORED), expected)


def test_boundary_loss_is_of_labeled_pixels() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(1, 8, 20, dtype=torch.uint8)
    mask[..., 5:] = 1
    logits = torch.randn(1, 1, 8, 20)
    alone = boundary_loss(logits[..., :10], mask[..., :10], IGNORED)
    mask[..., 10:] = IGNORED
    logits.requires_grad_()
    loss = boundary_loss(logits, mask, IGNORED)
    loss.backward()
    torch.testing.assert_close(loss.detach(), alone)
    assert not logits.grad[..., 10:].any()
    assert boundary_loss(logits, torch.full_like(mask, IGNORED), IGNORED) == 0


def test_terms_of_pidnet() -> None:
    model = PIDNet(3, width=4, pyramid_width=4, head_width=4, aux_weight=0.3, boundary_weight=7)
    seen: list[Tensor] = []

    def loss(logits: Tensor, mask: Tensor) -> Tensor:
        seen.append(mask)
        return F.cross_entropy(logits, mask, ignore_index=IGNORED)

    mask = torch.randint(0, 3, (2, 40, 50))
    logits, aux = model.forward_with_aux(torch.randn(2, 3, 40, 50))
    aux[1] = torch.full_like(aux[1], 1.3)  # a probability of 0.786
    aux[1][..., :20] = 1.5  # and of 0.818
    terms = model.aux_terms(logits, aux, mask, loss, IGNORED)
    assert terms["aux"] == 0.3 * F.cross_entropy(aux[0], mask)
    assert terms["boundary_map"] == 7 * boundary_loss(aux[1], mask, IGNORED)
    assert torch.equal(seen[1][..., :20], mask[..., :20])
    assert (seen[1][..., 20:] == IGNORED).all()
    torch.testing.assert_close(
        terms["at_boundary"], F.cross_entropy(logits[..., :20], mask[..., :20])
    )


def test_pidnet_without_auxiliary_heads() -> None:
    assert PIDNet(3, width=4, aux_weight=0).aux_head is None
    with pytest.raises(ValueError, match="boundary_weight must be at least 0, got -1"):
        PIDNet(3, boundary_weight=-1)


@pytest.mark.parametrize("name", ["widths", "depths"])
def test_segnext_has_four_stages(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}=\[32\].*each of the 4 stages"):
        SegNeXt(3, **{name: [32]})


def test_factorization_finds_a_matrix_of_low_rank() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 24, 2) @ torch.rand(2, 2, 50)
    bases = F.normalize(torch.rand(2, 24, 4), dim=1)
    before, after = ((factorize(x, bases, steps) - x).norm() / x.norm() for steps in (0, 200))
    assert after < 0.02 < before


def test_factorization_is_not_done_in_half_precision() -> None:
    torch.manual_seed(0)
    x, bases = torch.rand(1, 24, 50), torch.rand(1, 24, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = factorize(x, bases, 3)
    assert torch.equal(found, factorize(x, bases, 3))


def test_predictions_of_segnext_repeat() -> None:
    """The reference draws the first bases of each prediction at random."""
    image = torch.randn(1, 3, 64, 64)
    model, again = small_segnext().eval(), small_segnext().eval()
    maps = [torch.randn(1, width, 8, 8) for width in (8, 16, 16)]
    with torch.inference_mode():
        assert torch.equal(model(image), model(image))
        assert torch.equal(model(image), again(image))
        assert not torch.equal(model.decoder.train()(maps), model.decoder(maps))


def test_official_names_of_segnext(tmp_path: Path) -> None:
    """Its own repository repeats the name of the depthwise convolution of an MLP."""
    theirs, ours = small_segnext(1), small_segnext(2)
    state = {
        key.replace("encoder.", "backbone.").replace("mlp.dwconv.", "mlp.dwconv.dwconv."): value
        for key, value in theirs.state_dict().items()
    }
    torch.save({"state_dict": state}, tmp_path / "segnext.pth")
    assert not load_weights(ours, str(tmp_path / "segnext.pth")).unexpected
    key = "encoder.block1.0.mlp.dwconv.weight"
    assert torch.equal(ours.state_dict()[key], theirs.state_dict()[key])
