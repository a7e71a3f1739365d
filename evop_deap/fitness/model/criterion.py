"""The fitness criteria: from the input of the head to nats per token.

"ce" is the cross-entropy of the text's next token, whose exponential is perplexity (EvoP,
section 3.3). "kl" is the divergence from the dense model's prediction; it measures how similar the
pruned model is to the dense one, whatever the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from evop_deap.fitness.model.blocked_divergence import blocked_divergences, blocked_log_totals
from evop_deap.fitness.model.blocked_loss import blocked_losses
from evop_deap.fitness.model.memory_plan import EVALUATED_TOGETHER
from evop_deap.fitness.model.tiles import Tile
from evop_deap.models.anatomy.exit import Exit


class Criterion(Protocol):
    """Computes losses from the head's inputs of several patterns on the same windows."""

    at_once: int
    """Number of patterns to evaluate in one call."""

    def losses(self, several: Sequence[torch.Tensor], windows: slice) -> list[torch.Tensor]:
        """Losses of each predicted token in nats.

        Args:
            several: (windows, length, width) input of the head for each pattern.
            windows: position of these windows in the calibration set.

        Returns:
            (windows, length - 1) float32 for each pattern.
        """
        ...

    def heads(self, patterns: int) -> int:
        """How many times `losses` runs the head over the windows for this number of patterns."""
        ...


class CrossEntropy:
    """Negative log-likelihood of the next tokens."""

    at_once = 1

    def __init__(self, tokens: torch.Tensor, leaving: Exit, tile: Tile) -> None:
        self._tokens = tokens  # (windows, length)
        self._leaving = leaving
        self._tile = tile

    def losses(self, several: Sequence[torch.Tensor], windows: slice) -> list[torch.Tensor]:
        """See `Criterion.losses`."""
        tokens = self._tokens[windows]
        return [blocked_losses(one, tokens, self._leaving, self._tile) for one in several]

    def heads(self, patterns: int) -> int:
        """Once for each pattern."""
        return patterns


class Divergence:
    """Kullback-Leibler divergence from the dense model's predictions.

    The dense model's input of the head is kept. Its logits are recomputed, once for the patterns
    of a call.
    """

    at_once = EVALUATED_TOGETHER

    def __init__(self, dense: torch.Tensor, leaving: Exit, tile: Tile) -> None:
        self._dense = dense  # (windows, length, width)
        self._totals = blocked_log_totals(dense, leaving, tile)
        self._leaving = leaving
        self._tile = tile

    def losses(self, several: Sequence[torch.Tensor], windows: slice) -> list[torch.Tensor]:
        """See `Criterion.losses`."""
        return blocked_divergences(
            several, self._dense[windows], self._totals[windows], self._leaving, self._tile
        )

    def heads(self, patterns: int) -> int:
        """Once for each pattern, and once for the dense model."""
        return patterns + 1
