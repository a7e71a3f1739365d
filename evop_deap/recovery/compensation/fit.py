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
    """The difference between dense and pruned states behind a cut.

    Attributes:
        errors: (tokens, width) dense states minus pruned ones.
        weights: (tokens,) one divided by the length of the dense state. Readers norm a state
            first, and a few tokens have states a hundred times as long as the rest.
    """

    errors: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True, eq=False)
class Fitted:
    """The outcome of a fit.

    Attributes:
        changes: new values of weights.
        remaining: weighted squared distance to the dense states on the tokens kept aside.
        ridge: the chosen ridge; None for a form without one.
    """

    changes: dict[nn.Parameter, torch.Tensor]
    remaining: float
    ridge: float | None


class Fit(Protocol):
    """A fit of one form at one cut."""

    @property
    def writers(self) -> tuple[Writer, ...]:
        """The writers whose inputs and outputs it reads, and whose weights it may change."""
        ...

    @property
    def name(self) -> str:
        """The form."""
        ...

    @property
    def needs(self) -> int:
        """The least number of tokens to fit on."""
        ...

    @property
    def work(self) -> int:
        """Multiply-adds spent on the tokens so far."""
        ...

    def add(self, heard: Sequence[Heard], missing: Missing, *, aside: bool) -> None:
        """Add tokens: each writer's inputs and outputs, and what is missing behind the cut."""
        ...

    def solved(self) -> Fitted | None:
        """Return the changes, chosen by the tokens kept aside; None if the system is singular."""
        ...

    def solved_with_all(self, fitted: Fitted) -> Fitted:
        """Return the same fit on all tokens, with those kept aside."""
        ...
