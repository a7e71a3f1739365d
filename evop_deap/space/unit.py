"""Units: what one gene switches, with its name and weights."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from evop_deap.base.errors import InputError
from evop_deap.space.unit_names import block_of, kind_of


@dataclass(frozen=True)
class Unit:
    """A block or a half of a block, which one gene switches.

    Attributes:
        name: the block's position in the dense model, such as "12"; its sublayers are "12.attn"
            and "12.mlp".
        parameters: number of parameters.
        work: multiply-adds per token.
        kv_bytes: size of its key-value cache over a full context.
    """

    name: str
    parameters: int
    work: int
    kv_bytes: int = 0

    @property
    def block(self) -> str:
        """The name of its block."""
        return block_of(self.name)

    @property
    def kind(self) -> str:
        """Its kind: "block", "attn" or "mlp"."""
        return kind_of(self.name)


def units_by_block(
    units: Sequence[Unit], positions: Iterable[int] | None = None
) -> dict[str, tuple[int, ...]]:
    """Positions of the units by the name of their block; `positions` limits it to some units.

    Example:
        >>> units_by_block([Unit("0.attn", 1, 1), Unit("0.mlp", 1, 1), Unit("1.attn", 1, 1)])
        {'0': (0, 1), '1': (2,)}
    """
    found: dict[str, tuple[int, ...]] = {}
    for position in range(len(units)) if positions is None else positions:
        block = units[position].block
        found[block] = (*found.get(block, ()), position)
    return found


def units_named(units: Sequence[Unit], names: Collection[str]) -> frozenset[int]:
    """Positions of the units with these names, or of all units of the blocks with these names.

    "-1" is the last block, "3-5" is a range of blocks.

    Example:
        >>> halves = [Unit(f"{block}.{kind}", 1, 1) for block in "012" for kind in ("attn", "mlp")]
        >>> sorted(units_named(halves, ["0", "-1", "1.mlp"]))
        [0, 1, 3, 4, 5]

    Raises:
        InputError: no unit has the name.
    """
    positions: set[int] = set()
    for name in names:
        positions.update(_positions(units, name.strip()))
    return frozenset(positions)


def _positions(units: Sequence[Unit], name: str) -> range:
    names = {unit.name: range(i, i + 1) for i, unit in enumerate(units)}
    blocks = units_by_block(units)
    names |= {block: range(of[0], of[-1] + 1) for block, of in blocks.items()}
    first, dash, last = name.partition("-")
    if name in names:
        return names[name]
    if dash and first in names and last in names and names[first].start < names[last].stop:
        return range(names[first].start, names[last].stop)
    if dash and not first and re.fullmatch("[0-9]{1,9}", last) and 1 <= int(last) <= len(blocks):
        return names[list(blocks)[-int(last)]]
    raise InputError(
        f"`protect` has the unknown unit '{name}': the units are "
        f"'{units[0].name}' to '{units[-1].name}'"
    )
