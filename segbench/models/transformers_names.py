"""Parameters of models of transformers (5.24 and later): their names here.

Rules are as in `segbench.models.foreign`; they begin where the keys of such a model do, so that our
own keys pass unchanged. Queries, keys and values have one matrix each there, and one together here:
the rules mark the three with `.q`, `.k`, `.v` at the end, and `join_projections` joins them.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

Rules = tuple[tuple[str, str], ...]

UNUSED = "unused."  # part of a name that no model has: ignored when weights are loaded
_QKV = (r"\.attention\.([qkv])_proj\.(weight|bias)$", r".attn.qkv.\2.\1")
_SWIN = (
    (r"^(.*\.)?swin\.layernorm\.", UNUSED),
    (r"\bswin\.embeddings\.patch_embeddings\.projection\.", "net.patch_embed.proj."),
    (r"\bswin\.embeddings\.norm\.", "net.patch_embed.norm."),
    # There behind a stage, here in front of the next.
    (r"\bswin\.encoder\.layers\.0\.downsample\.", "net.layers.1.downsample."),
    (r"\bswin\.encoder\.layers\.1\.downsample\.", "net.layers.2.downsample."),
    (r"\bswin\.encoder\.layers\.2\.downsample\.", "net.layers.3.downsample."),
    (r"\bswin\.encoder\.", "net."),
    _QKV,
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.attention\.relative_position_bias\.", ".attn."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\bhidden_states_norms\.", "norms."),
)
_CONVNEXT = (
    (r"\bembeddings\.patch_embeddings\.", "net.stem.0."),
    (r"\bembeddings\.layernorm\.", "net.stem.1."),
    (r"\bencoder\.stages\.(\d)\.downsampling_layer\.", r"net.stages.\1.downsample."),
    (r"\bencoder\.stages\.(\d)\.layers\.", r"net.stages.\1.blocks."),
    (r"\.layer_scale_parameter$", ".gamma"),
    (r"\.dwconv\.", ".conv_dw."),
    (r"(blocks\.\d+)\.layernorm\.", r"\1.norm."),
    (r"\.pwconv([12])\.", r".mlp.fc\1."),
)
UPERNET = (
    *_SWIN,
    *_CONVNEXT,
    (r"^backbone\.", "encoder."),
    (r"^decode_head\.classifier\.", "head."),
    (r"^decode_head\.psp_modules\.", "decoder.pools."),
    (r"^decode_head\.lateral_convs\.", "decoder.laterals."),
    (r"^decode_head\.fpn_convs\.", "decoder.outputs."),
    (r"^decode_head\.fpn_bottleneck\.", "decoder.fusion."),
    (r"^decode_head\.", "decoder."),
    (r"^auxiliary_head\.convs\.", "aux_head."),
    (r"^auxiliary_head\.classifier\.", "aux_head.2."),
    (r"\.conv\.", ".0."),
    (r"\.batch_norm\.", ".1."),
)
SEGFORMER = (
    *(
        rule
        for i in range(4)
        for rule in (
            (
                rf"^segformer\.stages\.{i}\.patch_embeddings\.proj",
                f"encoder.patch_embed{i + 1}.proj",
            ),
            (
                rf"^segformer\.stages\.{i}\.patch_embeddings\.layer_norm",
                f"encoder.patch_embed{i + 1}.norm",
            ),
            (rf"^segformer\.stages\.{i}\.blocks\.", f"encoder.block{i + 1}."),
            (rf"^segformer\.stages\.{i}\.layer_norm\.", f"encoder.norm{i + 1}."),
            (
                rf"^decode_head\.linear_projections\.{i}\.proj\.",
                f"decoder.mlp_stage.{3 - i}.linear.",
            ),
        )
    ),
    (r"\.attention\.q_proj\.", ".attn.q."),
    (r"\.attention\.([kv])_proj\.(weight|bias)$", r".attn.kv.\2.\1"),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.attention\.sequence_reduction\.sequence_reduction\.", ".attn.sr."),
    (r"\.attention\.sequence_reduction\.layer_norm\.", ".attn.norm."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"^decode_head\.linear_fuse\.", "decoder.fuse_stage.0."),
    (r"^decode_head\.batch_norm\.", "decoder.fuse_stage.1."),
    (r"^decode_head\.classifier\.", "head.0."),
)
_VIT = (
    (r"^embeddings\.mask_token$", UNUSED),
    (r"^embeddings\.cls_token$", "encoder.net.cls_token"),
    (r"^embeddings\.register_tokens$", "encoder.net.reg_token"),
    (r"^embeddings\.position_embeddings(?:\.weight)?$", "encoder.net.pos_embed"),
    (r"^embeddings\.patch_embeddings\.(?:projection\.)?", "encoder.net.patch_embed.proj."),
    (r"^(?:layer)?norm\.", "encoder.net.norm."),
    (r"^layers\.", "encoder.net.blocks."),
    _QKV,
    (r"\.attention\.(?:o|out)_proj\.", ".attn.proj."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
)
DINO = (
    (r"^encoder\.layer\.", "encoder.net.blocks."),
    (r"^model\.layer\.(.*)\.layer_scale([12])\.lambda1$", r"encoder.net.blocks.\1.gamma_\2"),
    (r"^model\.layer\.(.*)\.attention\.([qv])_proj\.bias$", r"encoder.net.blocks.\1.attn.\2_bias"),
    (r"^model\.layer\.", "encoder.net.blocks."),
    (r"\.mlp\.up_proj\.", ".mlp.fc1."),
    (r"\.mlp\.down_proj\.", ".mlp.fc2."),
    *_VIT,
)
EOMT = (
    *_VIT,
    (r"^criterion\.", UNUSED),
    (r"^attn_mask_probs$", "mask_shares"),
    (r"^query\.", "queries."),
    (r"^upscale_block\.block\.(\d)\.conv1\.", r"upscale.\1.0."),
    (r"^upscale_block\.block\.(\d)\.conv2\.", r"upscale.\1.2."),
    (r"^upscale_block\.block\.(\d)\.layernorm2d\.", r"upscale.\1.3."),
    (r"^mask_head\.fc1\.", "head.mask.0."),
    (r"^mask_head\.fc2\.", "head.mask.2."),
    (r"^mask_head\.fc3\.", "head.mask.4."),
    (r"^class_predictor\.", "head.classes."),
)
MASK2FORMER = (
    (r"^criterion\.", UNUSED),
    (r"^class_predictor\.", "head.classes."),
    (r"^model\.transformer_module\.decoder\.mask_predictor\.mask_embedder\.0\.0\.", "head.mask.0."),
    (r"^model\.transformer_module\.decoder\.mask_predictor\.mask_embedder\.1\.0\.", "head.mask.2."),
    (r"^model\.transformer_module\.decoder\.mask_predictor\.mask_embedder\.2\.0\.", "head.mask.4."),
    (r"^model\.pixel_level_module\.decoder\.encoder\.layers\.", "pixel_decoder.layers."),
    (r"^model\.pixel_level_module\.decoder\.input_projections\.", "pixel_decoder.projections."),
    (r"^model\.pixel_level_module\.decoder\.adapter_1\.", "pixel_decoder.lateral."),
    (r"^model\.pixel_level_module\.decoder\.layer_1\.", "pixel_decoder.output."),
    (r"^model\.pixel_level_module\.decoder\.", "pixel_decoder."),
    (r"^model\.pixel_level_module\.encoder\.", "backbone."),
    (r"^model\.transformer_module\.queries_embedder\.", "query_positions."),
    (r"^model\.transformer_module\.queries_features\.", "queries."),
    (r"^model\.transformer_module\.level_embed\.weight$", "decoder.level_embed"),
    (r"^model\.transformer_module\.decoder\.layernorm\.", "decoder.norm."),
    (r"^model\.transformer_module\.decoder\.", "decoder."),
    (r"\.self_attn\.([qkv])_proj\.(weight|bias)$", r".self_attn.in_proj_\2.\1"),
    *_SWIN,
    (r"^backbone\.", "encoder."),
)


def rename(key: str, rules: Rules) -> str:
    """Name here of a parameter of a model of transformers; other names are returned as they are."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def join_projections(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters with those that are marked `.q`, `.k`, `.v` joined, in this order.

    Positions without the batch of timm get one.
    """
    joined: dict[str, Tensor] = {}
    for key, value in state.items():
        whole, _, mark = key.rpartition(".")
        if mark in ("q", "k", "v"):
            parts = [state[f"{whole}.{m}"] for m in "qkv" if f"{whole}.{m}" in state]
            joined[whole] = torch.cat(parts)
        elif key.endswith("pos_embed") and value.ndim == 2:
            joined[key] = value[None]
        else:
            joined[key] = value
    return joined
