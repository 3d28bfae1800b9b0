"""Limits on the work of a predictor, because an untrusted checkpoint may ask for too much."""

from __future__ import annotations

from collections.abc import Sequence

MOST_SCALES, LARGEST_SCALE = 16, 4
LARGEST_DIVISOR = 1024
MOST_ENLARGED = 1 << 26  # maximum pixels of an image that is enlarged for the model


def check_amounts(scales: Sequence[float], divisor: int, window_batch: int) -> None:
    """Raises ValueError for impossible options, or an unreasonable amount of work."""
    if not scales or min(scales) <= 0:
        raise ValueError(f"scales must be positive and at least one, not {list(scales)[:9]}")
    if len(scales) > MOST_SCALES or not max(scales) <= LARGEST_SCALE:
        raise ValueError(
            f"scales: {len(scales)} of them up to {max(scales)}; at most {MOST_SCALES} are "
            f"allowed, each at most {LARGEST_SCALE}"
        )
    if min(divisor, window_batch) < 1:
        raise ValueError(
            f"divisor and window_batch must be at least 1, not {divisor} and {window_batch}"
        )
    if divisor > LARGEST_DIVISOR:
        raise ValueError(f"divisor must be at most {LARGEST_DIVISOR}, not {divisor}")
