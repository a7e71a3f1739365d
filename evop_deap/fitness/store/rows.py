"""Encoding of keys and values in the database.

Every value has a checksum over its key and itself, so a damaged file never returns a wrong number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from evop_deap.space import Pattern

T = TypeVar("T")
Row = tuple[bytes, bytes, bytes]  # packed pattern, window, value
Found = tuple[object, object, object]  # a row of `losses`, of any types if it is damaged
VALUE = np.dtype([("sum", "<f8"), ("checksum", "<u4")])
# The CRC-32 of any message followed by its own checksum, lowest byte first.
_RESIDUE = 0x2144DF1C
_DIGITS = bytes.maketrans(b"\0\1", b"01")


def encoded(name: str) -> bytes:
    """The stored form of a context's or window's name; lone surrogates are allowed."""
    return name.encode("utf-8", "surrogatepass")


def packed(pattern: Pattern) -> bytes:
    """Pack a pattern into bits, after a leading 1 that marks its length."""
    return int(b"1" + bytes(pattern).translate(_DIGITS), 2).to_bytes(len(pattern) // 8 + 1, "big")


def positions(keys: Sequence[bytes]) -> dict[bytes, int]:
    """Number the different keys in order of first occurrence."""
    return {key: at for at, key in enumerate(dict.fromkeys(keys))}


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`; the last one may be shorter."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def sealed(
    context: bytes, bits: Sequence[bytes], windows: Sequence[bytes], sums: NDArray[np.float64]
) -> list[Row]:
    """The rows of all sums that are not NaN; a value is the float's 8 bytes and a checksum."""
    rows = []
    start = crc32(context)
    for pattern, line in zip(bits, sums, strict=True):
        seed = crc32(pattern, start)
        for window, number, unknown in zip(windows, line, np.isnan(line), strict=True):
            if not unknown:
                raw = number.tobytes()
                checksum = crc32(window + raw, seed)
                rows.append((pattern, window, raw + checksum.to_bytes(4, "little")))
    return rows


def is_sound(value: object, window: bytes, seed: int) -> bool:
    """Whether the checksum of a value is right; `seed` is the CRC-32 of its context and pattern."""
    return (
        isinstance(value, bytes)
        and len(value) == VALUE.itemsize
        and crc32(window + value, seed) == _RESIDUE
    )
