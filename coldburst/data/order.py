"""Which row a request gets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from coldburst.randomness import stream

_ROUNDS = 4
_MASK = 2**64 - 1


def shuffled(seq: int, rows: int, seed: int) -> int:
    """The row of request ``seq`` when each pass over ``rows`` rows is a permutation of its own.

    A Feistel network permutes the smallest power of four that holds all rows; numbers beyond the last row are permuted again until
    one fits (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002). It needs no memory.
    """
    number, place = divmod(seq, rows)
    half = max(1, ((rows - 1).bit_length() + 1) // 2)
    keys = _keys(seed, number)
    place = _permute(place, half, keys)
    while place >= rows:
        place = _permute(place, half, keys)
    return place


@lru_cache(maxsize=8)
def _keys(seed: int, number: int) -> Sequence[int]:
    random = stream(seed, f"pass {number} over the data")
    return [random.getrandbits(64) for _ in range(_ROUNDS)]


def _permute(place: int, half: int, keys: Sequence[int]) -> int:
    low = (1 << half) - 1
    left, right = place >> half, place & low
    for key in keys:
        # The finalizer of SplitMix64.
        mixed = (right + key) & _MASK
        mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & _MASK
        left, right = right, left ^ ((mixed ^ mixed >> 31) & low)
    return left << half | right
