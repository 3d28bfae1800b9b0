"""Translates parameter names of other projects' checkpoints to the names used here.

Rules are pairs of a regular expression and its replacement, applied in order. The rules for
mmsegmentation match the start of its keys, which is a part of its models; the rules for the
authors' checkpoints match none of our names, so that our own checkpoints pass unchanged.
"""

from __future__ import annotations

import re

from torch import Tensor

Rules = tuple[tuple[str, str], ...]

MMSEG_PARTS = ("backbone.", "decode_head.", "auxiliary_head.")
DDRNET_MMSEG = (
    (r"^backbone\.context_branch_layers\.", "low."),
    (r"^backbone\.spatial_branch_layers\.", "high."),
    (r"^backbone\.(compression|down)_1\.", r"\1.0."),
    (r"^backbone\.(compression|down)_2\.", r"\1.1."),
    (r"^backbone\.", ""),
    (r"^decode_head\.(aux_)?head\.1\.", r"\1head.3."),
    (r"^decode_head\.(aux_)?head\.0\.", r"\1head."),
    (r"^decode_head\.conv_seg\.", "head.5."),
    (r"^decode_head\.aux_cls_seg\.", "aux_head.5."),
    (r"^((?:spp|head|aux_head)\..*?)bn\.", r"\g<1>0."),
    (r"^((?:spp|head|aux_head)\..*?)conv\.", r"\g<1>2."),
    (r"\.conv\.", ".0."),
    (r"\.bn\.", ".1."),
)
PIDNET_MMSEG = (
    (r"^backbone\.i_branch_layers\.", "context."),
    (r"^backbone\.p_branch_layers\.", "detail."),
    (r"^backbone\.d_branch_layers\.", "boundary."),
    (r"^backbone\.(compression|diff|pag)_1\.", r"\1.0."),
    (r"^backbone\.(compression|diff|pag)_2\.", r"\1.1."),
    (r"^backbone\.dfm\.", "bag."),
    (r"^backbone\.", ""),
    (r"^decode_head\.(?:i_head|conv_seg)\b", "head"),
    (r"^decode_head\.(?:p_head|p_cls_seg)\b", "aux_head.classes"),
    (r"^decode_head\.(?:d_head|d_cls_seg)\b", "aux_head.boundary"),
    (r"^(head|aux_head\.\w+)\.conv\.bn\.", r"\1.0."),
    (r"^(head|aux_head\.\w+)\.conv\.conv\.", r"\1.2."),
    (r"^(head|aux_head\.\w+)\.norm\.", r"\1.3."),
    (r"^(head|aux_head\.\w+)\.(weight|bias)$", r"\1.5.\2"),
    (r"^(spp\..*)\.bn\.", r"\1.0."),
    (r"^(spp\..*)\.conv\.", r"\1.2."),
    (r"\.conv\.", ".0."),
    (r"\.bn\.", ".1."),
)
BISENETV2_MMSEG = (
    (r"^backbone\.detail\.detail_branch\.", "detail."),
    (r"^backbone\.semantic\.stage1\.", "semantic.0."),
    (r"^backbone\.semantic\.stage2\.", "semantic.1."),
    (r"^backbone\.semantic\.stage3\.", "semantic.2."),
    (r"^backbone\.semantic\.stage4\.", "semantic.3."),
    (r"^backbone\.semantic\.stage4_CEBlock\.gap\.1\.", "semantic.4.pooled.1."),
    (r"^backbone\.semantic\.stage4_CEBlock\.conv_gap\.", "semantic.4.pooled.2."),
    (r"^backbone\.semantic\.stage4_CEBlock\.conv_last\.", "semantic.4.last."),
    (r"^backbone\.bga\.", "aggregation."),
    (r"^decode_head\.convs\.0\.", "head.0."),
    (r"^decode_head\.conv_seg\.", "head.2."),
    (r"^auxiliary_head\.(\d)\.convs\.", r"aux_head.\1."),
    (r"^auxiliary_head\.(\d)\.conv_seg\.", r"aux_head.\1.3."),
    (r"\.shortcut\.0\.depthwise_conv\.", ".shortcut.0."),
    (r"\.shortcut\.0\.pointwise_conv\.", ".shortcut.1."),
    (r"_dwconv\.0\.depthwise_conv\.", "_dwconv.0."),
    (r"_dwconv\.0\.pointwise_conv\.conv\.", "_dwconv.1."),
    (r"\.(conv2|detail_down|semantic_conv)\.0\.", r".\1."),
    (r"\.conv\.(weight)$", r".0.\1"),
    (r"\.bn\.", ".1."),
)
SEGNEXT_MMSEG = (
    (r"^backbone\.", "encoder."),
    (r"\.dwconv\.dwconv\.", ".dwconv."),  # in the official files
    (r"^decode_head\.conv_seg\.", "head."),
    (r"^decode_head\.(squeeze|align)\.conv\.", r"decoder.\1.0."),
    (r"^decode_head\.(squeeze|align)\.gn\.", r"decoder.\1.1."),
    (r"^decode_head\.hamburger\.ham_in\.conv\.", "decoder.ham_in."),
    (r"^decode_head\.hamburger\.ham_out\.conv\.", "decoder.ham_out.0."),
    (r"^decode_head\.hamburger\.ham_out\.gn\.", "decoder.ham_out.1."),
)
_RESIDUAL_AUTHORS = (
    (r"^conv1\.([01])\.", r"stem.0.\1."),
    (r"^conv1\.3\.", "stem.1.0."),
    (r"^conv1\.4\.", "stem.1.1."),
    (r"^layer1\.", "stem.2."),
    (r"^layer2\.", "stem.4."),
    (r"^compression3\.", "compression.0."),
    (r"^compression4\.", "compression.1."),
    (r"^spp\.scale0\.", "spp.scales.0."),
    (r"^spp\.scale(\d)\.1\.", r"spp.scales.\1.1.0."),
    (r"^spp\.scale(\d)\.3\.", r"spp.scales.\1.1.2."),
    (r"^final_layer\.", "head."),
    (r"^(head|aux_head(?:\.\w+)?)\.bn1\.", r"\1.0."),
    (r"^(head|aux_head(?:\.\w+)?)\.conv1\.", r"\1.2."),
    (r"^(head|aux_head(?:\.\w+)?)\.bn2\.", r"\1.3."),
    (r"^(head|aux_head(?:\.\w+)?)\.conv2\.", r"\1.5."),
    (r"\.conv([123])\.weight$", r".conv\1.0.weight"),
    (r"\.bn([123])\.", r".conv\1.1."),
)
DDRNET_AUTHORS = (
    (r"^layer3\.", "low.0."),
    (r"^layer4\.", "low.1."),
    (r"^layer5\.", "low.2."),
    (r"^layer3_\.", "high.0."),
    (r"^layer4_\.", "high.1."),
    (r"^layer5_\.", "high.2."),
    (r"^down3\.", "down.0."),
    (r"^down4\.([01])\.", r"down.1.0.\1."),
    (r"^down4\.3\.", "down.1.1.0."),
    (r"^down4\.4\.", "down.1.1.1."),
    (r"^spp\.process1\.", "spp.processes.0."),
    (r"^spp\.process2\.", "spp.processes.1."),
    (r"^spp\.process3\.", "spp.processes.2."),
    (r"^spp\.process4\.", "spp.processes.3."),
    (r"^seghead_extra\.", "aux_head."),
    *_RESIDUAL_AUTHORS,
)
PIDNET_AUTHORS = (
    (r"^layer3\.", "context.0."),
    (r"^layer4\.", "context.1."),
    (r"^layer5\.", "context.2."),
    (r"^layer3_\.", "detail.0."),
    (r"^layer4_\.", "detail.1."),
    (r"^layer5_\.", "detail.2."),
    (r"^layer3_d\.", "boundary.0."),
    (r"^layer4_d\.", "boundary.1."),
    (r"^layer5_d\.", "boundary.2."),
    (r"^(pag|diff)3\.", r"\1.0."),
    (r"^(pag|diff)4\.", r"\1.1."),
    (r"^pag\.(\d)\.f_x\.", r"pag.\1.f_p."),
    (r"^pag\.(\d)\.f_y\.", r"pag.\1.f_i."),
    (r"^dfm\.conv_([pi])\.", r"bag.f_\1."),
    (r"^spp\.scale_process\.", "spp.processes."),
    (r"^seghead_p\.", "aux_head.classes."),
    (r"^seghead_d\.", "aux_head.boundary."),
    *_RESIDUAL_AUTHORS,
)


def rename(key: str, mmseg: Rules, authors: Rules = ()) -> str:
    """Name of a parameter here; a name that no rule matches is returned unchanged.

    Args:
        key: the name in the checkpoint.
        mmseg: rules for checkpoints of mmsegmentation.
        authors: rules for checkpoints of the authors.
    """
    for pattern, replacement in mmseg if key.startswith(MMSEG_PARTS) else authors:
        key = re.sub(pattern, replacement, key)
    return key


def without_biases(state: dict[str, Tensor], layers: tuple[str, ...]) -> dict[str, Tensor]:
    """Folds the biases of convolutions that precede a batch norm into its running mean.

    Such a bias shifts only the running mean, which absorbs it: the outputs stay the same.

    Args:
        state: parameters by name.
        layers: names of `ConvNormAct` layers.
    """
    kept = dict(state)
    for layer in layers:
        bias, mean = kept.pop(f"{layer}.0.bias", None), f"{layer}.1.running_mean"
        if bias is not None and mean in kept:
            kept[mean] = kept[mean] - bias
    return kept
