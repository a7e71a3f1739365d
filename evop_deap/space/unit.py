"""What one gene switches: its name, and what it weighs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from evop_deap.base.errors import InputError
from evop_deap.space.unit_names import block_of, kind_of


@dataclass(frozen=True)
class Unit:
    """What one gene switches.

    Attributes:
        name: the block's position in the dense model, such as "12", or "12.attn" and "12.mlp" of
            its sublayers.
        parameters: elements of its weights.
        work: multiply-adds it spends on one token.
        kv_bytes: of the key-value cache that it holds over a full context.
    """

    name: str
    parameters: int
    work: int
    kv_bytes: int = 0

    @property
    def block(self) -> str:
        """The name of the block that it is, or is a part of."""
        return block_of(self.name)

    @property
    def kind(self) -> str:
        """What it is: "block", "attn" or "mlp"."""
        return kind_of(self.name)


def units_by_block(
    units: Sequence[Unit], positions: Iterable[int] | None = None
) -> dict[str, tuple[int, ...]]:
    """Positions of the units of each block, by the block's name; of all, or of some units.

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
    """Positions of the units with these names; "-1" counts from the end, "3-5" is a range.

    Raises:
        InputError: a name that no unit has.
    """
    positions: set[int] = set()
    for name in names:
        positions.update(_positions(units, name.strip()))
    return frozenset(positions)


def _positions(units: Sequence[Unit], name: str) -> range:
    by_name = {unit.name: i for i, unit in enumerate(units)}
    first, dash, last = name.partition("-")
    if name in by_name:
        return range(by_name[name], by_name[name] + 1)
    if dash and first in by_name and last in by_name and by_name[first] <= by_name[last]:
        return range(by_name[first], by_name[last] + 1)
    if dash and not first and last.isdecimal() and 1 <= int(last) <= len(units):
        return range(len(units) - int(last), len(units) - int(last) + 1)
    raise InputError(
        f"`protect` names the unit '{name}', but the units are "
        f"'{units[0].name}' to '{units[-1].name}'"
    )
