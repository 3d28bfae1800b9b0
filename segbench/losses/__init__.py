"""Losses: one file per family, all `loss(logits, mask) -> scalar`.

Their shared conventions (ignored pixels, absent classes, averaging, precision) are documented in
`segbench.losses.convention`.
"""
