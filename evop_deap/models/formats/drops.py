"""Which halves of which blocks go: what every pattern file says, whatever its format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from evop_deap.base.errors import InputError

_NAME = re.compile(r"(?P<index>[0-9]+)(\.(?P<half>attn|mlp))?")


@dataclass(frozen=True)
class Drops:
    """The blocks of a model that lose their attention, and those that lose their MLP.

    Args:
        n_blocks: Blocks of the dense model.
        attention: Blocks whose attention half goes.
        mlp: Blocks whose MLP half goes.

    Example:
        >>> drops = Drops.named(4, ["1", "3.mlp"])
        >>> sorted(drops.blocks), sorted(drops.mlp), drops.names
        ([1], [1, 3], ('1', '3.mlp'))

    Raises:
        InputError: a block that the model has not, or nothing stays.
    """

    n_blocks: int
    attention: frozenset[int]
    mlp: frozenset[int]

    def __post_init__(self) -> None:
        strange = sorted(i for i in self.attention | self.mlp if not 0 <= i < self.n_blocks)
        if strange:
            raise InputError(
                f"`dropped` must hold block indices from 0 to {self.n_blocks - 1}, "
                f"but got {strange}"
            )
        if len(self.blocks) == self.n_blocks:
            raise InputError(f"`dropped` must leave at least one of the {self.n_blocks} blocks")

    @classmethod
    def of_blocks(cls, n_blocks: int, dropped: Iterable[int]) -> Drops:
        """Whole blocks, by their positions."""
        gone = frozenset(dropped)
        return cls(n_blocks, gone, gone)

    @classmethod
    def of_halves(cls, n_blocks: int, dropped: Iterable[int]) -> Drops:
        """Halves, by unit positions: 2i is the attention of block i and 2i + 1 its MLP."""
        gone = frozenset(dropped)
        attention = frozenset(unit // 2 for unit in gone if unit % 2 == 0)
        return cls(n_blocks, attention, frozenset(unit // 2 for unit in gone if unit % 2))

    @classmethod
    def named(cls, n_blocks: int, names: Iterable[str]) -> Drops:
        """By the names of units: "3" is a block, "12.attn" and "12.mlp" are its halves.

        Raises:
            InputError: a name that no unit has.
        """
        attention, mlp = set(), set()
        for name in names:
            unit = _NAME.fullmatch(name)
            if unit is None:
                raise InputError(
                    f"a dropped unit must be named like 3, 12.attn or 12.mlp, but got '{name}'"
                )
            if unit["half"] != "mlp":
                attention.add(int(unit["index"]))
            if unit["half"] != "attn":
                mlp.add(int(unit["index"]))
        return cls(n_blocks, frozenset(attention), frozenset(mlp))

    @property
    def blocks(self) -> frozenset[int]:
        """The blocks that go whole."""
        return self.attention & self.mlp

    @property
    def halves(self) -> frozenset[int]:
        """The blocks that lose only one half."""
        return self.attention ^ self.mlp

    @property
    def live(self) -> tuple[tuple[bool, bool], ...]:
        """Per block whether its attention and whether its MLP stays."""
        return tuple((i not in self.attention, i not in self.mlp) for i in range(self.n_blocks))

    @property
    def names(self) -> tuple[str, ...]:
        """What goes, by unit names in order; a block that goes whole is named once."""
        return tuple(
            str(i) if i in self.blocks else f"{i}.attn" if i in self.attention else f"{i}.mlp"
            for i in sorted(self.attention | self.mlp)
        )

    def units(self, granularity: str) -> tuple[int, ...]:
        """Positions of the units that go, where a unit is a "block" or a "half" of one.

        Raises:
            InputError: blocks are asked for, and only half of one goes.
        """
        if granularity == "half":
            halves = {2 * i for i in self.attention} | {2 * i + 1 for i in self.mlp}
            return tuple(sorted(halves))
        return self.whole("a pattern of whole blocks")

    def whole(self, what: str) -> tuple[int, ...]:
        """The dropped blocks in order, for a format that knows nothing smaller.

        Raises:
            InputError: only half of a block goes; the message begins with `what`.
        """
        if self.halves:
            names = ", ".join(name for name in self.names if "." in name)
            raise InputError(f"{what} cannot say that only half of a block goes: {names}")
        return tuple(sorted(self.blocks))
