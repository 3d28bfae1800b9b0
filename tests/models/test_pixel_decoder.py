from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from segbench.models.pixel_decoder import DeformableAttention, pixel_centers


class OnMaps(nn.Module):
    """Deformable attention on three maps of the same size."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = DeformableAttention(width=32, heads=4)

    def forward(self, image: Tensor) -> Tensor:
        size = (image.shape[2], image.shape[3])
        tokens = image.flatten(2).transpose(1, 2).repeat(1, 3, 1)
        centers = pixel_centers(size, tokens).repeat(3, 1)
        return self.attention(tokens, torch.zeros_like(tokens[:1]), centers, [size] * 3)


@pytest.mark.slow
def test_deformable_attention_of_an_exported_program_takes_other_sizes() -> None:
    torch.manual_seed(0)
    module = OnMaps().eval()
    sizes = {2: Dim("height", min=2), 3: Dim("width", min=2)}
    program = torch.export.export(
        module, (torch.randn(2, 32, 6, 9),), dynamic_shapes=(sizes,)
    ).module()
    image = torch.randn(2, 32, 5, 12)
    with torch.inference_mode():
        torch.testing.assert_close(program(image), module(image))
