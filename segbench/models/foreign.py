"""Translates parameter names of other projects' checkpoints to the names used here.

Rules are pairs of a regular expression and its replacement, applied in order. The rules for
mmsegmentation match the start of its keys, which is a part of its models; the rules for the
authors' checkpoints match none of our names, so that our own checkpoints pass unchanged.
"""

from __future__ import annotations

import re

from torch import Tensor

Rules = tuple[tuple[str, str], ...]


def _numbered(pattern: str, replacement: str, first: int, count: int) -> Rules:
    """Rules for names that differ in a number: `@` is `first`, ... in `pattern`, 0, ... here."""
    return tuple(
        (pattern.replace("@", str(first + i)), replacement.replace("@", str(i)))
        for i in range(count)
    )


_CONV_NORM = ((r"\.conv\.", ".0."), (r"\.bn\.", ".1."))  # a `ConvModule` of mmsegmentation
MMSEG_PARTS = ("backbone.", "decode_head.", "auxiliary_head.")
DDRNET_MMSEG = (
    (r"^backbone\.context_branch_layers\.", "low."),
    (r"^backbone\.spatial_branch_layers\.", "high."),
    *_numbered(r"^backbone\.(compression|down)_@\.", r"\1.@.", 1, 2),
    (r"^backbone\.", ""),
    (r"^decode_head\.(aux_)?head\.1\.", r"\1head.3."),
    (r"^decode_head\.(aux_)?head\.0\.", r"\1head."),
    (r"^decode_head\.conv_seg\.", "head.5."),
    (r"^decode_head\.aux_cls_seg\.", "aux_head.5."),
    (r"^((?:spp|head|aux_head)\..*?)bn\.", r"\g<1>0."),
    (r"^((?:spp|head|aux_head)\..*?)conv\.", r"\g<1>2."),
    *_CONV_NORM,
)
PIDNET_MMSEG = (
    (r"^backbone\.i_branch_layers\.", "context."),
    (r"^backbone\.p_branch_layers\.", "detail."),
    (r"^backbone\.d_branch_layers\.", "boundary."),
    *_numbered(r"^backbone\.(compression|diff|pag)_@\.", r"\1.@.", 1, 2),
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
    *_CONV_NORM,
)
BISENETV2_MMSEG = (
    (r"^backbone\.detail\.detail_branch\.", "detail."),
    *_numbered(r"^backbone\.semantic\.stage@\.", "semantic.@.", 1, 4),
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
    *_numbered(r"^compression@\.", "compression.@.", 3, 2),
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
    *_numbered(r"^layer@\.", "low.@.", 3, 3),
    *_numbered(r"^layer@_\.", "high.@.", 3, 3),
    (r"^down3\.", "down.0."),
    (r"^down4\.([01])\.", r"down.1.0.\1."),
    (r"^down4\.3\.", "down.1.1.0."),
    (r"^down4\.4\.", "down.1.1.1."),
    *_numbered(r"^spp\.process@\.", "spp.processes.@.", 1, 4),
    (r"^seghead_extra\.", "aux_head."),
    *_RESIDUAL_AUTHORS,
)
PIDNET_AUTHORS = (
    *_numbered(r"^layer@\.", "context.@.", 3, 3),
    *_numbered(r"^layer@_\.", "detail.@.", 3, 3),
    *_numbered(r"^layer@_d\.", "boundary.@.", 3, 3),
    *_numbered(r"^(pag|diff)@\.", r"\1.@.", 3, 2),
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
