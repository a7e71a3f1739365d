"""What a pruned model's predictions are judged by, from the head's input to nats per token.

"ce" is the cross-entropy of the text's own next token, whose exponential is perplexity (EvoP,
section 3.3); "kl" is the divergence from the dense model's prediction, which asks the pruned
model to be like the dense one whatever the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from evop_deap.fitness.model.blocked_divergence import blocked_divergences, blocked_log_totals
from evop_deap.fitness.model.blocked_loss import blocked_losses
from evop_deap.fitness.model.memory_plan import JUDGED_TOGETHER
from evop_deap.fitness.model.tiles import Tile
from evop_deap.models.anatomy.exit import Exit


class Criterion(Protocol):
    """Judges the head's inputs of several patterns on the same windows."""

    at_once: int
    """Patterns that are best judged together."""

    def losses(self, several: Sequence[torch.Tensor], windows: slice) -> list[torch.Tensor]:
        """Nats of each predicted token.

        Args:
            several: (windows, length, width) of each pattern.
            windows: which of the calibration windows these are.

        Returns:
            (windows, length - 1) float32 for each pattern.
        """
        ...

    def heads(self, patterns: int) -> int:
        """How often `losses` runs the head over the windows for so many patterns."""
        ...


class CrossEntropy:
    """Negative log-likelihood of the tokens that follow."""

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
    """Kullback-Leibler divergence of the prediction from the dense model's.

    Of the dense model, the head's input is kept and its logits are computed anew, once for the
    patterns that are judged together.
    """

    at_once = JUDGED_TOGETHER

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
