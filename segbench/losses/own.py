"""What a config says where the model brings its own loss."""

from __future__ import annotations

from segbench.losses.cross_entropy import CrossEntropy


class OwnLoss(CrossEntropy):
    """The model is trained with its own loss; cross entropy of its logits is `val/loss`.

    Args:
        ignore_index: label of pixels that do not count.
    """

    def __init__(self, ignore_index: int) -> None:
        super().__init__(ignore_index)
