"""Losses: one file per family, all `loss(logits, mask) -> scalar`."""
