"""The dropped parts of a model: the content of a pattern file, independent of its format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evop_deap.base.errors import InputError
from evop_deap.base.user_text import shown
from evop_deap.space.unit_names import (
    ATTENTION,
    BLOCK,
    MLP,
    SUBLAYERS,
    block_of,
    granularity_of,
    is_unit_name,
    kind_of,
    sublayers_in,
    unit_name,
)

MOST_BLOCKS = 100_000
"""A number of blocks that no model reaches, so that a wrong one in a file takes no memory."""


@dataclass(frozen=True)
class Drops:
    """The dropped parts of a model.

    Args:
        n_blocks: Number of blocks of the dense model.
        gone: Names of the dropped sublayers and smaller units; a block is given by its sublayers.

    Example:
        >>> drops = Drops.named(4, ["1", "3.mlp"])
        >>> sorted(drops.blocks), sorted(drops.mlp), drops.names
        ([1], [1, 3], ('1', '3.mlp'))

    Raises:
        InputError: the model has no such block, or nothing stays.
    """

    n_blocks: int
    gone: frozenset[str]

    def __post_init__(self) -> None:
        if self.n_blocks > MOST_BLOCKS:
            raise InputError(f"no model has {shown(self.n_blocks)} blocks: {MOST_BLOCKS} at most")
        touched = {int(block_of(name)) for name in self.gone}
        invalid = sorted(i for i in touched if not 0 <= i < self.n_blocks)
        if invalid:
            raise InputError(
                f"the blocks to drop must be from 0 to {self.n_blocks - 1}, "
                f"but got {shown(invalid)}"
            )
        if len(self.blocks) == self.n_blocks:
            raise InputError(f"at least one of the {self.n_blocks} blocks must stay")

    @classmethod
    def of_blocks(cls, n_blocks: int, dropped: Iterable[int]) -> Drops:
        """Return the drops of whole blocks, given by their positions."""
        return cls(n_blocks, frozenset(s for i in dropped for s in sublayers_in(unit_name(i))))

    @classmethod
    def of_sublayers(cls, n_blocks: int, attention: Iterable[int], mlp: Iterable[int]) -> Drops:
        """Return the drops of some attentions and some MLPs, given by the positions of blocks."""
        names = [unit_name(i, ATTENTION) for i in attention] + [unit_name(i, MLP) for i in mlp]
        return cls(n_blocks, frozenset(names))

    @classmethod
    def named(cls, n_blocks: int, names: Iterable[str]) -> Drops:
        """Return the drops with these names: "3" is a block, "12.attn" and "12.mlp" are halves.

        Raises:
            InputError: a name is not that of a unit.
        """
        gone: set[str] = set()
        for name in names:
            if not is_unit_name(name):
                raise InputError(
                    f"a dropped unit must be named like 3, 12.attn or 12.mlp, but got {shown(name)}"
                )
            gone.update(sublayers_in(unit_name(int(block_of(name)), kind_of(name))))
        return cls(n_blocks, frozenset(gone))

    @property
    def attention(self) -> frozenset[int]:
        """The blocks without their attention."""
        return self._without(ATTENTION)

    @property
    def mlp(self) -> frozenset[int]:
        """The blocks without their MLP."""
        return self._without(MLP)

    @property
    def blocks(self) -> frozenset[int]:
        """The blocks that are dropped whole."""
        return self.attention & self.mlp

    @property
    def halves(self) -> frozenset[int]:
        """The blocks that are dropped in part."""
        return frozenset(int(block_of(name)) for name in self.gone) - self.blocks

    @property
    def granularity(self) -> str:
        """The coarsest granularity that can express these drops: "block" or "half"."""
        return granularity_of(self.names)

    @property
    def live(self) -> tuple[tuple[bool, bool], ...]:
        """For each block, whether its attention and its MLP are kept.

        Raises:
            InputError: a unit smaller than a sublayer is dropped.
        """
        less = sorted(name for name in self.gone if kind_of(name) not in SUBLAYERS)
        if less:
            raise InputError(f"only whole attentions and MLPs can go here, but got {less[0]}")
        return tuple((i not in self.attention, i not in self.mlp) for i in range(self.n_blocks))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the dropped units in order; a block that is dropped whole has one name."""
        rest = (name for name in self.gone if int(block_of(name)) not in self.blocks)
        names = {*map(unit_name, self.blocks), *rest}
        return tuple(sorted(names, key=lambda name: (int(block_of(name)), name)))

    def positions(self, units: Sequence[str]) -> tuple[int, ...]:
        """Return the positions of the drops among all units of a model.

        Args:
            units: names of all units, in order.

        Raises:
            InputError: the units are blocks, and only half of one is dropped.
        """
        found = [i for i, name in enumerate(units) if self.gone.issuperset(sublayers_in(name))]
        if self.gone.difference(*(sublayers_in(units[i]) for i in found)):
            raise self._refusal("a pattern of whole blocks")
        return tuple(found)

    def whole(self, what: str) -> tuple[int, ...]:
        """Return the dropped blocks in order, for a format of whole blocks.

        Args:
            what: the format, for messages.

        Raises:
            InputError: only half of a block is dropped.
        """
        if self.halves:
            raise self._refusal(what)
        return tuple(sorted(self.blocks))

    def _without(self, kind: str) -> frozenset[int]:
        return frozenset(int(block_of(name)) for name in self.gone if kind_of(name) == kind)

    def _refusal(self, what: str) -> InputError:
        names = ", ".join(name for name in self.names if kind_of(name) != BLOCK)
        return InputError(f"{what} cannot express that only half of a block is dropped: {names}")
