"""Degeneracy: how much a model repeats itself in greedy continuations.

Pruned models may have a tolerable perplexity and still generate loops. Greedy continuations of
the beginnings of windows are compared with the dense model's. rep-4 is the share of a
continuation's 4-grams that occurred in it before (Welleck et al. 2019, arXiv 1908.04319).
distinct-n is the share of distinct n-grams among those of all continuations (Li et al. 2016,
arXiv 1510.03055).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.evaluation.estimates import Estimate, difference_of, mean_of
from evop_deap.evaluation.generating import continue_greedily, end_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_GRAM = 4
_MOSTLY = 0.5  # rep-4 above which a continuation loops, and share of loops in a degenerate model
_CLEARLY = 0.1  # smallest relevant increase of rep-4 over the dense model's
_ERRORS = 2.0  # standard errors that the increase must exceed


@dataclass(frozen=True)
class Degeneracy:
    """The greedy continuations of a model.

    Attributes:
        continuations: token ids of each continuation, without the end token.

    Example:
        >>> looping = Degeneracy(((1, 2, 1, 2, 1, 2, 1, 2), (5, 6, 7, 8, 9, 10)))
        >>> looping.repetition, looping.distinct(1) == 8 / 14
        ((0.6, 0.0), True)
        >>> looping.degenerate()
        False
    """

    continuations: tuple[tuple[int, ...], ...]

    @property
    def repetition(self) -> tuple[float, ...]:
        """rep-4 of each continuation; 0 without any 4-gram."""
        return tuple(map(repeated_share, self.continuations))

    @property
    def tokens(self) -> float:
        """Mean length of a continuation in tokens."""
        return statistics.fmean(map(len, self.continuations))

    @property
    def looping(self) -> float:
        """Share of continuations with a rep-4 above one half."""
        return statistics.fmean(share > _MOSTLY for share in self.repetition)

    def distinct(self, n: int) -> float:
        """Return the share of distinct n-grams in all continuations; 0 without any n-gram."""
        grams = [gram for tokens in self.continuations for gram in n_grams(tokens, n)]
        return len(set(grams)) / len(grams) if grams else 0.0

    def change(self, dense: Degeneracy) -> Estimate:
        """Return the increase of rep-4 over the dense model's, paired by prompt."""
        return difference_of(self.repetition, dense.repetition)

    def degenerate(self, dense: Degeneracy | None = None) -> bool:
        """Return whether the model is degenerate, alone or against the dense model.

        Alone, it is degenerate if more than half of the continuations loop. The dense model's
        greedy continuations may loop, too. Against it, a model is degenerate if its rep-4 is
        higher by more than two standard errors and by more than a tenth.
        """
        if dense is None:
            return self.looping > _MOSTLY
        change = self.change(dense)
        return change.value > max(_CLEARLY, _ERRORS * (change.error or 0.0))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "prompts": len(self.continuations),
            "tokens": self.tokens,
            "repetition": mean_of(self.repetition).as_dict(),
            "repetitions": [*self.repetition],
            "looping": self.looping,
            **{f"distinct_{n}": self.distinct(n) for n in (1, 2, 3)},
        }


def measure_degeneracy(
    model: PreTrainedModel,
    prompts: NDArray[np.int64],
    *,
    new_tokens: int = 128,
    batch_size: int = 8,
) -> Degeneracy:
    """Continue prompts greedily.

    Args:
        model: in evaluation mode.
        prompts: (rows, length) token ids.
        new_tokens: largest length of a continuation.
        batch_size: prompts in a batch.
    """
    ending = set(end_tokens(model))
    written: list[tuple[int, ...]] = []
    for batch in torch.as_tensor(prompts).split(batch_size):
        rows = continue_greedily(model, batch.to(model.device), new_tokens, may_end=True)
        written += [_until(row, ending) for row in rows.tolist()]
    return Degeneracy(tuple(written))


def choose_prompts(windows: NDArray[np.int64], *, count: int, length: int) -> NDArray[np.int64]:
    """Return the first tokens of windows spread evenly over a text: (at most count, length)."""
    chosen = np.linspace(0, len(windows) - 1, min(count, len(windows))).round().astype(int)
    return windows[chosen, :length]


def n_grams(tokens: Sequence[int], n: int) -> list[tuple[int, ...]]:
    """Return all n-grams in order."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def repeated_share(tokens: Sequence[int]) -> float:
    """Return rep-4, the share of 4-grams that occurred before; 0 without any 4-gram."""
    grams = n_grams(tokens, _GRAM)
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def _until(tokens: list[int], ending: set[int]) -> tuple[int, ...]:
    """Return the tokens before the first end token."""
    stop = next((i for i, token in enumerate(tokens) if token in ending), len(tokens))
    return tuple(tokens[:stop])
