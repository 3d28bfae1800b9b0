"""PIDNet.

Xu, Xiong, Bhattacharyya: "PIDNet: A Real-time Semantic Segmentation Network Inspired from PID
Controllers", CVPR 2023.

                         ┌ P (detail)   ─ 1/8 ── Pag ─ 1/8 ── Pag ─ 1/8 ──────────────┐
    image ─ stem ── 1/8 ─┼ I (context)  ─ 1/16 ─ ↑ ↓ ─ 1/32 ─ ↑ ↓ ─ 1/64 ─ PAPPM ─ up ─ Bag ─ head
                         └ D (boundary) ─ 1/8 ──── + ─ 1/8 ──── + ─ 1/8 ──────────────┘      └ up
    training only:        auxiliary head after the first Pag, boundary head after the second +

Three branches of residual blocks. Pag adds the context to the detail where both agree, pixel by
pixel; the boundary branch receives it through convolutions; Bag selects the detail where the
boundary branch detects a boundary, and the context elsewhere. PAPPM is DDRNet's pyramid with its
levels in parallel.

In addition to the configured loss of the logits and (weighted) of the auxiliary logits, training
uses two terms of the paper (`aux_terms`): weighted binary cross entropy of the boundary map, and
the loss of the logits restricted to pixels where that map is above 0.8.

Differences from the paper: none in the layers; the small and medium variants only. As in
mmsegmentation, the two strided convolutions of the stem have no bias (batch norm follows), and the
last upsampling aligns corners. `weights=PATH` reads its checkpoints and the authors', whose biases
are folded into the running means. Boundaries are the pixels within 2 of another class; the authors
dilate the output of Canny. Unlabeled pixels neither count nor create a boundary. The auxiliary
logits use the configured loss (plain cross entropy in the paper), and their input has not passed a
ReLU (in the authors' code it has, because a later ReLU runs in place). Images are padded to a
multiple of 8 and to at least 128 pixels. 7.6 M parameters at width 32, 28.5 M at width 64 (without
the auxiliary heads), as the authors' code.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models import foreign
from segbench.models.blocks import ConvNormAct, initialize_convolutions, pad_to_stride, resize
from segbench.models.ddrnet import (
    SMALLEST,
    STRIDE,
    NormActConv,
    Pyramid,
    Residual,
    SegmentationHead,
    bottlenecks,
    residuals,
    stem,
)

NEAR = 2  # pixels; a pixel this close to another class is boundary, so outlines are 4 pixels wide
CERTAIN = 0.8  # probability above which the boundary map counts as a boundary

Loss = Callable[[Tensor, Tensor], Tensor]


class PIDNet(nn.Module):
    """PIDNet-S at width 32, PIDNet-M at width 64.

    Args:
        num_classes: channels of the logits.
        width: channels of the stem.
        pyramid_width: channels of each level of the pyramid.
        head_width: channels within the classification heads.
        aux_weight: weight of the auxiliary loss (0.4 in the paper); 0 builds no auxiliary head and
            no boundary head.
        boundary_weight: weight of the loss of the boundary map (20 in the paper).
        in_channels: channels of the image.

    Raises:
        ValueError: `boundary_weight` is negative.
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 32,
        pyramid_width: int = 96,
        head_width: int = 128,
        aux_weight: float = 0.4,
        boundary_weight: float = 20.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if boundary_weight < 0:
            raise ValueError(f"boundary_weight must be at least 0, got {boundary_weight}")
        w = width
        self.stem = stem(in_channels, w)
        self.context = nn.ModuleList(
            [
                residuals(2 * w, 4 * w, 3, stride=2),
                residuals(4 * w, 8 * w, 3, stride=2),
                bottlenecks(8 * w, 8 * w, 2, stride=2),
            ]
        )
        self.detail = nn.ModuleList(
            [
                residuals(2 * w, 2 * w, 2),
                residuals(2 * w, 2 * w, 2),
                bottlenecks(2 * w, 2 * w, 1),
            ]
        )
        self.boundary = nn.ModuleList(
            [
                Residual(2 * w, w, relu=False),
                bottlenecks(w, w, 1),
                bottlenecks(2 * w, 2 * w, 1),
            ]
        )
        self.compression = nn.ModuleList(
            ConvNormAct(channels, 2 * w, 1, act=False) for channels in (4 * w, 8 * w)
        )
        self.diff = nn.ModuleList(
            [ConvNormAct(4 * w, w, act=False), ConvNormAct(8 * w, 2 * w, act=False)]
        )
        self.pag = nn.ModuleList(Pag(2 * w, w) for _ in range(2))
        self.spp = PAPPM(16 * w, pyramid_width, 4 * w)
        self.bag = Bag(4 * w)
        self.head = SegmentationHead(4 * w, head_width, num_classes)
        self.aux_weight = aux_weight
        self.boundary_weight = boundary_weight
        self.aux_head = AuxiliaryHeads(2 * w, head_width, num_classes) if aux_weight else None
        initialize_convolutions(self)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDE, SMALLEST)
        return _enlarge(self.head(self._features(padded)[0]), padded, image)

    def forward_with_aux(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits [N, num_classes, H, W] and a list of auxiliary logits, empty without such heads.

        The list contains [N, num_classes, H, W] and the boundary map [N, 1, H, W].
        """
        padded = pad_to_stride(image, STRIDE, SMALLEST)
        fused, detail, boundary = self._features(padded)
        maps = [self.head(fused)]
        if self.aux_head is not None:
            maps += self.aux_head(detail, boundary)
        logits, *aux = [_enlarge(x, padded, image) for x in maps]
        return logits, aux

    def aux_terms(
        self, logits: Tensor, aux: list[Tensor], mask: Tensor, loss: Loss, ignore_index: int
    ) -> dict[str, Tensor]:
        """Terms of the loss other than that of the logits.

        Args:
            logits: [N, C, H, W].
            aux: as returned by `forward_with_aux`, not empty.
            mask: [N, H, W], class ids.
            loss: the configured loss, called with logits and mask.
            ignore_index: label of pixels that do not count.
        """
        classes, boundary = aux
        certain = boundary[:, 0].detach().sigmoid() > CERTAIN
        return {
            "aux": self.aux_weight * loss(classes, mask),
            "boundary_map": self.boundary_weight * boundary_loss(boundary, mask, ignore_index),
            "at_boundary": loss(logits, mask.masked_fill(~certain, ignore_index)),
        }

    def _features(self, padded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The fused branches, and detail and boundary for the auxiliary heads; all at stride 8."""
        context = detail = boundary = self.stem(padded)
        details = []
        for level in range(2):
            context = F.relu(self.context[level](context))
            detail = self.detail[level](F.relu(detail))
            boundary = self.boundary[level](F.relu(boundary))
            detail = self.pag[level](detail, self.compression[level](context))
            boundary = boundary + resize(self.diff[level](context), like=boundary)
            details.append(detail)
        fused = self.bag(
            self.detail[2](F.relu(detail)),
            resize(self.spp(self.context[2](context)), like=detail),
            self.boundary[2](F.relu(boundary)),
        )
        return fused, details[0], boundary

    @staticmethod
    def translate_key(key: str) -> str:
        """Translates a parameter name of mmsegmentation or the authors to its name here."""
        return foreign.rename(key, foreign.PIDNET_MMSEG, foreign.PIDNET_AUTHORS)

    @staticmethod
    def adapt_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters of a checkpoint (already renamed), without the biases of the stem."""
        return foreign.without_biases(state, ("stem.0", "stem.1"))


class AuxiliaryHeads(nn.Module):
    """Class logits from the detail branch, and the boundary map from the boundary branch."""

    def __init__(self, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.classes = SegmentationHead(in_channels, channels, num_classes)
        self.boundary = SegmentationHead(in_channels, in_channels // 2, 1)

    def forward(self, detail: Tensor, boundary: Tensor) -> list[Tensor]:
        """Two maps [N, in, h, w] -> [N, num_classes, h, w] and [N, 1, h, w]."""
        return [self.classes(detail), self.boundary(boundary)]


class Pag(nn.Module):
    """Pixel-attention-guided fusion of a fine and a coarse map of the same channels."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.f_p = ConvNormAct(channels, inner, 1, act=False)
        self.f_i = ConvNormAct(channels, inner, 1, act=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """[N, C, H, W] and [N, C, h, w] -> [N, C, H, W]."""
        agreement = (self.f_p(fine) * resize(self.f_i(coarse), like=fine)).sum(1, keepdim=True)
        attention = agreement.sigmoid()
        return attention * resize(coarse, like=fine) + (1 - attention) * fine


class Bag(nn.Module):
    """Boundary-attention-guided fusion, light form; three maps [N, C, H, W] -> [N, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.f_p = ConvNormAct(channels, channels, 1, act=False)
        self.f_i = ConvNormAct(channels, channels, 1, act=False)

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        attention = boundary.sigmoid()
        return self.f_p(detail + (1 - attention) * context) + self.f_i(context + attention * detail)


class PAPPM(Pyramid):
    """Parallel aggregation pyramid: the finest level is added to all others, then 3x3 in groups."""

    def __init__(self, in_channels: int, inner: int, out_channels: int) -> None:
        super().__init__(in_channels, inner, out_channels)
        self.processes = NormActConv(4 * inner, 4 * inner, 3, groups=4)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H, W]."""
        finest, *coarser = self.levels(x)
        done = self.processes(torch.cat([finest + level for level in coarser], dim=1))
        return self.fuse([finest, done], x)


def boundary_loss(boundary: Tensor, mask: Tensor, ignore_index: int) -> Tensor:
    """Binary cross entropy of a boundary map; boundary and other pixels have equal total weight.

    Args:
        boundary: logits [N, 1, H, W].
        mask: [N, H, W], class ids; a boundary is where another class is within `NEAR` pixels.
        ignore_index: label of pixels that do not count.

    Returns:
        A scalar in float32: the mean over the labeled pixels, 0 if there are none.
    """
    labeled = mask != ignore_index
    target = near_another_class(mask, ignore_index)
    positive = target.sum() / labeled.sum().clamp(min=1)
    weight = torch.where(target, 1 - positive, positive) * labeled
    loss = F.binary_cross_entropy_with_logits(
        boundary[:, 0].float(), target.float(), weight, reduction="none"
    )
    return loss.sum() / labeled.sum().clamp(min=1)


def near_another_class(mask: Tensor, ignore_index: int) -> Tensor:
    """Bool map of the labeled pixels of [N, H, W] with another class within `NEAR` (a square)."""
    labels, ignored = mask.float(), mask == ignore_index
    size = 2 * NEAR + 1
    highest = F.max_pool2d(labels.masked_fill(ignored, -1), size, 1, NEAR)
    lowest = -F.max_pool2d((-labels).masked_fill(ignored, -torch.inf), size, 1, NEAR)
    return (highest != lowest) & ~ignored


def _enlarge(x: Tensor, padded: Tensor, image: Tensor) -> Tensor:
    """Resizes a map to the padded image and crops it to the image."""
    x = F.interpolate(x, size=padded.shape[-2:], mode="bilinear", align_corners=True)
    return x[..., : image.shape[-2], : image.shape[-1]]
