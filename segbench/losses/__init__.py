"""Losses: one file per family, all `loss(logits, mask) -> scalar`.

What they agree on (ignored pixels, absent classes, averaging, precision) is written down once,
in `segbench.losses.convention`.
"""
