"""Names of parameters in the checkpoints of other frameworks."""

from __future__ import annotations

import re

Rules = tuple[tuple[str, str], ...]

MMSEG_PARTS = ("backbone.", "decode_head.", "auxiliary_head.")


def rename_mmseg(key: str, rules: Rules) -> str:
    """Name here of a parameter of a model of mmsegmentation; any other name is returned as it is.

    Args:
        key: as in the checkpoint.
        rules: regular expressions and what replaces their matches, applied in this order.
    """
    if not key.startswith(MMSEG_PARTS):
        return key
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key
