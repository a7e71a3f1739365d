"""Which parts of which blocks go: what every pattern file says, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evop_deap.base.errors import InputError
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


@dataclass(frozen=True)
class Drops:
    """What a model loses.

    Args:
        n_blocks: Blocks of the dense model.
        gone: Names of the sublayers that go, and of smaller units; of a block, its sublayers.

    Example:
        >>> drops = Drops.named(4, ["1", "3.mlp"])
        >>> sorted(drops.blocks), sorted(drops.mlp), drops.names
        ([1], [1, 3], ('1', '3.mlp'))

    Raises:
        InputError: a block that the model has not, or nothing stays.
    """

    n_blocks: int
    gone: frozenset[str]

    def __post_init__(self) -> None:
        touched = {int(block_of(name)) for name in self.gone}
        strange = sorted(i for i in touched if not 0 <= i < self.n_blocks)
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
        return cls(n_blocks, frozenset(s for i in dropped for s in sublayers_in(unit_name(i))))

    @classmethod
    def of_sublayers(cls, n_blocks: int, attention: Iterable[int], mlp: Iterable[int]) -> Drops:
        """The attention of some blocks and the MLP of some, by the positions of the blocks."""
        names = [unit_name(i, ATTENTION) for i in attention] + [unit_name(i, MLP) for i in mlp]
        return cls(n_blocks, frozenset(names))

    @classmethod
    def named(cls, n_blocks: int, names: Iterable[str]) -> Drops:
        """By the names of units: "3" is a block, "12.attn" and "12.mlp" are its halves.

        Raises:
            InputError: a name that no unit has.
        """
        gone: set[str] = set()
        for name in names:
            if not is_unit_name(name):
                raise InputError(
                    f"a dropped unit must be named like 3, 12.attn or 12.mlp, but got '{name}'"
                )
            gone.update(sublayers_in(unit_name(int(block_of(name)), kind_of(name))))
        return cls(n_blocks, frozenset(gone))

    @property
    def attention(self) -> frozenset[int]:
        """The blocks that lose their attention."""
        return self._losing(ATTENTION)

    @property
    def mlp(self) -> frozenset[int]:
        """The blocks that lose their MLP."""
        return self._losing(MLP)

    @property
    def blocks(self) -> frozenset[int]:
        """The blocks that go whole."""
        return self.attention & self.mlp

    @property
    def halves(self) -> frozenset[int]:
        """The blocks that go in part."""
        return frozenset(int(block_of(name)) for name in self.gone) - self.blocks

    @property
    def granularity(self) -> str:
        """The coarsest granularity at which this can be said: "block" or "half"."""
        return granularity_of(self.names)

    @property
    def live(self) -> tuple[tuple[bool, bool], ...]:
        """Per block whether its attention and whether its MLP stays.

        Raises:
            InputError: less than a sublayer goes.
        """
        less = sorted(name for name in self.gone if kind_of(name) not in SUBLAYERS)
        if less:
            raise InputError(f"only whole attentions and MLPs can go here, but got {less[0]}")
        return tuple((i not in self.attention, i not in self.mlp) for i in range(self.n_blocks))

    @property
    def names(self) -> tuple[str, ...]:
        """What goes, by unit names in order; a block that goes whole is named once."""
        rest = (name for name in self.gone if int(block_of(name)) not in self.blocks)
        names = {*map(unit_name, self.blocks), *rest}
        return tuple(sorted(names, key=lambda name: (int(block_of(name)), name)))

    def positions(self, units: Sequence[str]) -> tuple[int, ...]:
        """Positions of what goes among all units of a model, given by their names in order.

        Raises:
            InputError: the units are blocks, and only half of one goes.
        """
        found = [i for i, name in enumerate(units) if self.gone.issuperset(sublayers_in(name))]
        if self.gone.difference(*(sublayers_in(units[i]) for i in found)):
            raise self._refusal("a pattern of whole blocks")
        return tuple(found)

    def whole(self, what: str) -> tuple[int, ...]:
        """The dropped blocks in order, for a format that knows nothing smaller.

        Raises:
            InputError: only half of a block goes; the message begins with `what`.
        """
        if self.halves:
            raise self._refusal(what)
        return tuple(sorted(self.blocks))

    def _losing(self, kind: str) -> frozenset[int]:
        return frozenset(int(block_of(name)) for name in self.gone if kind_of(name) == kind)

    def _refusal(self, what: str) -> InputError:
        names = ", ".join(name for name in self.names if kind_of(name) != BLOCK)
        return InputError(f"{what} cannot say that only half of a block goes: {names}")
