"""Damage to bytes as caused by disks, networks and editors, drawn by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

LONGEST = 64  # bytes of a piece that is lost, duplicated or overwritten, in most cases


def flipped(data: bytearray, draw: random.Random) -> bytearray:
    """Flips one to three bits."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def overwritten(data: bytearray, draw: random.Random) -> bytearray:
    """Overwrites a piece with zeros, ones, or random bytes."""
    start, end = _piece(data, draw)
    fill = draw.choice((0, 255, None))
    data[start:end] = draw.randbytes(end - start) if fill is None else bytes([fill]) * (end - start)
    return data


def cut(data: bytearray, draw: random.Random) -> bytearray:
    """Truncates the end."""
    return data[: draw.randrange(len(data))]


def lost(data: bytearray, draw: random.Random) -> bytearray:
    """Removes a piece."""
    start, end = _piece(data, draw)
    del data[start:end]
    return data


def doubled(data: bytearray, draw: random.Random) -> bytearray:
    """Duplicates a piece, in place or somewhere else."""
    start, end = _piece(data, draw)
    place = draw.choice((end, draw.randrange(len(data) + 1)))
    data[place:place] = data[start:end]
    return data


def swapped(data: bytearray, draw: random.Random) -> bytearray:
    """Swaps two pieces."""
    length = draw.randint(1, max(1, min(LONGEST, len(data) // 2)))
    first, second = sorted(draw.randrange(len(data) - length + 1) for _ in range(2))
    one, other = data[first : first + length], data[second : second + length]
    data[first : first + length], data[second : second + length] = other, one
    return data


KINDS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    *(flipped, flipped, flipped),
    *(overwritten, cut, lost, doubled, swapped),
)


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The bytes of a file after one or two of these; always different from the original."""
    if not data:
        return draw.randbytes(1)
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2))):
        if changed:
            changed = draw.choice(KINDS)(changed, draw)
    return bytes(changed) if changed != data else mutated(data, draw)


def _piece(data: bytearray, draw: random.Random) -> tuple[int, int]:
    longest = draw.choice((4, LONGEST, max(1, len(data) // 2)))
    start = draw.randrange(len(data))
    return start, min(len(data), start + draw.randint(1, longest))
