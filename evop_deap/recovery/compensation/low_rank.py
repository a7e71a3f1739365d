"""Changes of weights kept in little memory: the few directions that hold most of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

RANK = 64
_SEED = 64


@dataclass(frozen=True, eq=False)
class LowRank:
    """A change of a weight, with the leading axes as rows: left times right.

    Attributes:
        left: (rows, rank).
        right: (rank, columns).
    """

    left: torch.Tensor
    right: torch.Tensor

    def added_to(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the changed weight, in its own dtype."""
        change = (self.left @ self.right).reshape(weight.shape)
        return (weight.float() + change).to(weight.dtype)


@dataclass(frozen=True, eq=False)
class Whole:
    """New values of a weight that is too small to be worth more.

    Attributes:
        values: the new values.
    """

    values: torch.Tensor

    def added_to(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the changed weight."""
        return self.values


Small = Mapping[nn.Parameter, "LowRank | Whole"]
"""Changes by parameter of the dense model."""


def made_small(changes: Mapping[nn.Parameter, torch.Tensor]) -> Small:
    """Return changes in little memory.

    Args:
        changes: new values of weights.
    """
    return {p: _small(p, values) for p, values in changes.items()}


def restored(changes: Small) -> dict[nn.Parameter, torch.Tensor]:
    """Return the new values of weights."""
    return {parameter: change.added_to(parameter.data) for parameter, change in changes.items()}


def _small(weight: nn.Parameter, values: torch.Tensor) -> LowRank | Whole:
    if min(weight.shape[-1], weight.numel() // weight.shape[-1]) <= 2 * RANK:
        return Whole(values.to(weight.dtype))
    change = (values.float() - weight.data.float()).flatten(0, -2)
    generator = torch.Generator().manual_seed(_SEED)
    probes = torch.randn(change.shape[1], RANK, generator=generator).to(change.device)
    # One power iteration: what is left out has small singular values.
    left, _ = torch.linalg.qr(change @ (change.T @ (change @ probes)))
    return LowRank(left, left.T @ change)
