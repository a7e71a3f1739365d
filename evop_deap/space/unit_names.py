"""The names of units; only this module forms and parses them.

"12" is the block at that position in the dense model; "12.attn" and "12.mlp" are its attention and
MLP sublayers. To add a kind of unit, add it to `GRANULARITIES`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

BLOCK, ATTENTION, MLP = "block", "attn", "mlp"

SUBLAYERS = (ATTENTION, MLP)
"""The kinds of unit that form a block, in the order in which they run."""

GRANULARITIES = {"block": (BLOCK,), "half": SUBLAYERS}
"""The kinds of unit at each granularity."""

SMALLER_KINDS = tuple(kind for kinds in GRANULARITIES.values() for kind in kinds if kind != BLOCK)
"""The kinds of unit that are smaller than a block."""


def is_unit_name(name: str) -> bool:
    """Whether `name` is a valid name of a unit.

    Example:
        >>> is_unit_name("12.attn"), is_unit_name("12.attention"), is_unit_name("-1")
        (True, False, False)
    """
    block, dot, kind = name.partition(".")
    return re.fullmatch("[0-9]{1,9}", block) is not None and (_is_smaller(kind) or not dot)


def unit_name(block: int, kind: str = BLOCK) -> str:
    """The name of a block, or of its unit of this kind."""
    return f"{block}" if kind == BLOCK else f"{block}.{kind}"


def block_of(name: str) -> str:
    """The name of a unit's block; a name that does not end in a kind is that of a block.

    Example:
        >>> block_of("12.attn"), block_of("encoder.12")
        ('12', 'encoder.12')
    """
    return name if kind_of(name) == BLOCK else name.rpartition(".")[0]


def kind_of(name: str) -> str:
    """The kind of a unit: "block", "attn", "mlp".

    Example:
        >>> kind_of("12"), kind_of("12.attn"), kind_of("encoder.12")
        ('block', 'attn', 'block')
    """
    block, _, kind = name.rpartition(".")
    return kind if block and _is_smaller(kind) else BLOCK


def sublayers_in(name: str) -> tuple[str, ...]:
    """The names of the two sublayers of a block; a sublayer's name is returned alone.

    Example:
        >>> sublayers_in("12"), sublayers_in("12.mlp")
        (('12.attn', '12.mlp'), ('12.mlp',))
    """
    return tuple(f"{name}.{kind}" for kind in SUBLAYERS) if kind_of(name) == BLOCK else (name,)


def granularity_of(names: Iterable[str]) -> str:
    """The granularity of units with these names: "block" or "half".

    Example:
        >>> granularity_of(["0", "1"]), granularity_of(["0.attn", "0.mlp"])
        ('block', 'half')
    """
    found = {kind_of(name) for name in names} - {BLOCK}
    return next((name for name, kinds in GRANULARITIES.items() if found & {*kinds}), "block")


def _is_smaller(kind: str) -> bool:
    """Whether this is a kind of unit that is smaller than a block."""
    return kind != BLOCK and any(kind in kinds for kinds in GRANULARITIES.values())
