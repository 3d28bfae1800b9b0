"""From logits to label maps: exact, fast, with little memory, and with a check for NaN and inf.

On a CPU, `torch.argmax` over NCHW reads memory with a large stride, and upsampling all channels
before it needs num_classes times the memory of the result. A running maximum over channels gives
bit-identical labels without either.

The largest logit of every pixel, which the argmax finds anyway, shows whether its label is
meaningful: it is finite unless a logit is NaN or +inf, or all of them are -inf. Single classes may
be excluded by -inf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from segbench.errors import NonFiniteLogitsError

BAND_ROWS = 64  # rows whose running maximum stays in the cache
NAMED = 5  # images listed in an error


class FiniteLogits:
    """Collects the images whose logits were not finite.

    The inputs of `add` stay on the device, so that the host waits for it only in `check`.
    """

    def __init__(self) -> None:
        self._finite: list[Tensor] = []
        self._names: list[str] = []

    def add(self, finite: Tensor, names: Sequence[str]) -> None:
        """Adds a batch: the bool `[N]` of `checked_argmax`, and the names of its images."""
        self._finite.append(finite)
        self._names += names

    def check(self) -> None:
        """Checks the images since the last check and resets; see `require_finite`."""
        found, self._finite = self._finite, []
        names, self._names = self._names, []
        if found:
            require_finite(torch.cat(found), names)


def require_finite(finite: Tensor, names: Sequence[str], what: str = "logits") -> None:
    """Waits for the output of `checked_argmax`, bool `[N]`, and checks it.

    Args:
        finite: whether each image is finite.
        names: names of the images.
        what: what was checked, in words.

    Raises:
        NonFiniteLogitsError: some were not finite; names the images.
    """
    flags = finite.tolist()
    bad = [name for name, fine in zip(names, flags, strict=True) if not fine]
    if not bad:
        return
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    raise NonFiniteLogitsError(
        f"the model's {what} are not finite on {', '.join(bad[:NAMED])}{more} ({len(bad)} of "
        f"{len(names)} images), so no label map and no score is computed from them. Usual causes: "
        "weights that diverged in training, or a precision that overflows (precision=32-true)."
    )


def checked_argmax(logits: Tensor, size: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
    """Bilinear upsampling if a size is given, then the argmax, and a check that logits are finite.

    Args:
        logits: float `[N, C, h, w]`, C at most 256, on any device.
        size: `(H, W)` of the result; None keeps that of the logits.

    Returns:
        Labels uint8 `[N, H, W]`, equal to the argmax over the channels of the logits, or of
        `F.interpolate(logits, size, mode="bilinear", align_corners=False)`, with memory for one
        channel instead of C: the first class on ties, and the first NaN if there is one.
        And bool `[N]`, whether the largest logit of every pixel of an image is finite.
    """
    if size is None or tuple(logits.shape[2:]) == tuple(size):
        return _argmax(logits)
    if logits.device.type != "cpu":
        return _max_over_channels(_resize(logits, size))
    logits = logits.contiguous()
    channels = (_resize(logits[:, c : c + 1], size)[:, 0] for c in range(logits.shape[1]))
    labels, finite, has_nan = _running_argmax(channels)
    return (_resize(logits, size).max(1).indices.byte() if has_nan else labels), finite


def argmax_labels(logits: Tensor) -> Tensor:
    """The labels of `checked_argmax`, for logits that are known to be finite."""
    return checked_argmax(logits)[0]


def upsample_argmax(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """The labels of `checked_argmax`, upsampled to `size`, for finite logits."""
    return checked_argmax(logits, size)[0]


def _argmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    if logits.device.type != "cpu" or logits.stride(1) == 1:
        return _max_over_channels(logits)  # channels last: the reduction is already contiguous
    labels = torch.empty(logits.shape[0], *logits.shape[2:], dtype=torch.uint8)
    finite = torch.ones(logits.shape[0], dtype=torch.bool)
    for top in range(0, logits.shape[2], BAND_ROWS):
        band = slice(top, top + BAND_ROWS)
        rows = logits[:, :, band]
        labels[:, band], band_finite, has_nan = _running_argmax(rows.unbind(1))
        finite &= band_finite
        if has_nan:
            labels[:, band] = rows.max(1).indices.byte()
    return labels, finite


def _max_over_channels(logits: Tensor) -> tuple[Tensor, Tensor]:
    best, labels = logits.max(1)
    return labels.byte(), _all_finite(best)


def _all_finite(best: Tensor) -> Tensor:
    """Per image of `[N, H, W]`, bool `[N]`. One pass: the extremes are NaN if any value is."""
    low, high = best.flatten(1).aminmax(dim=1)
    return low.isfinite() & high.isfinite()


def _resize(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def _running_argmax(channels: Iterable[Tensor]) -> tuple[Tensor, Tensor, bool]:
    """Argmax of channels that arrive one by one, each `[N, H, W]`.

    Returns:
        uint8 labels `[N, H, W]`, bool `[N]` as `_all_finite` of the largest values, and whether a
        NaN was found (then the labels are wrong).
    """
    iterator = iter(channels)
    best = next(iterator).clone()
    labels = torch.zeros(best.shape, dtype=torch.uint8)
    better = torch.empty(best.shape, dtype=torch.bool)
    candidate = better.view(torch.uint8)  # the same bytes: 0 or 1, multiplied by the class
    for label, channel in enumerate(iterator, 1):
        torch.gt(channel, best, out=better)
        # Labels only increase, so the maximum of old and new is the new one where it is better.
        torch.maximum(labels, candidate.mul_(label), out=labels)
        torch.maximum(best, channel, out=best)
    finite = _all_finite(best)
    return labels, finite, not finite.all() and bool(best.isnan().any())
