"""A fit of one form of compensation at one cut, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

if TYPE_CHECKING:
    from evop_deap.recovery.compensation.hearing import Heard
    from evop_deap.recovery.compensation.writer import Writer


@dataclass(frozen=True, eq=False)
class Missing:
    """What the pruned model's states lack.

    Attributes:
        errors: (tokens, width) dense states minus pruned ones.
        weights: (tokens,) one over the length of a dense state: all who read it norm it first,
            and a few tokens are a hundred times as long as the rest.
    """

    errors: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit comes to.

    Attributes:
        changes: new values of weights.
        remaining: squared distance to the dense states on the tokens kept aside, weighted.
        ridge: the one chosen; None where there is none.
    """

    changes: dict[nn.Parameter, torch.Tensor]
    remaining: float
    ridge: float | None


class Fit(Protocol):
    """A fit of one form at one cut."""

    @property
    def writers(self) -> tuple[Writer, ...]:
        """What it hears, and may change."""
        ...

    @property
    def name(self) -> str:
        """The form."""
        ...

    @property
    def needs(self) -> int:
        """Tokens below which it is not to be had."""
        ...

    @property
    def work(self) -> int:
        """Multiply-adds of taking in the tokens seen."""
        ...

    def add(self, heard: Sequence[Heard], missing: Missing, *, aside: bool) -> None:
        """Take in what each writer heard and said, and what is missing behind the cut."""
        ...

    def solved(self) -> Fitted | None:
        """The changes, chosen by the tokens kept aside."""
        ...

    def solved_with_all(self, fitted: Fitted) -> Fitted:
        """The same with the tokens kept aside taken in."""
        ...
