"""The fitness criteria: from the input of the head to nats per token.

"ce" is the cross-entropy of the text's next token, whose exponential is perplexity (EvoP,
section 3.3). "kl" is the divergence from the dense model's prediction; it measures how similar the
pruned model is to the dense one, whatever the text. "answers" is the cross-entropy over the options
of multiple-choice questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.fitness.answer_losses import answer_losses
from evop_deap.fitness.model.blocked_divergence import blocked_divergences, blocked_log_totals
from evop_deap.fitness.model.blocked_loss import blocked_losses, target_losses
from evop_deap.fitness.model.material import PackedQuestions
from evop_deap.fitness.model.memory_plan import EVALUATED_TOGETHER
from evop_deap.fitness.model.tiles import Tile
from evop_deap.models.anatomy.exit import Exit
from evop_deap.text.questions import Question


class HeadRuns(Protocol):
    """How often a criterion runs the head."""

    at_once: int
    """Number of patterns to evaluate in one call."""

    def heads(self, patterns: int) -> int:
        """How many times a call runs the head over its windows for this number of patterns."""
        ...


class Criterion(HeadRuns, Protocol):
    """Computes losses from the head's inputs of several patterns on the same windows."""

    def losses(self, several: Sequence[torch.Tensor], windows: slice) -> list[torch.Tensor]:
        """Losses of each predicted token in nats.

        Args:
            several: (rows, length, width) input of the head for each pattern.
            windows: position of these windows in the calibration set.

        Returns:
            float32 for each pattern: (windows, length - 1) for text, (predictions,) for questions.
        """
        ...

    def sums(self, losses: torch.Tensor, windows: slice) -> NDArray[np.float64]:
        """Return the (patterns, windows) sums, given the `losses` of each pattern, stacked."""
        ...


class _SummedByWindow:
    """The sum over the predictions of a window."""

    def sums(self, losses: torch.Tensor, windows: slice) -> NDArray[np.float64]:
        """See `Criterion.sums`."""
        found: NDArray[np.float64] = losses.cpu().double().sum(dim=2).numpy()
        return found


class CrossEntropy(_SummedByWindow):
    """Negative log-likelihood of the next tokens."""

    at_once = 1

    def __init__(self, tokens: torch.Tensor, leaving: Exit, tile: Tile) -> None:
        self._tokens = tokens.to(leaving.weight.device)  # (windows, length)
        self._leaving = leaving
        self._tile = tile

    def losses(self, several: Sequence[torch.Tensor], windows: slice) -> list[torch.Tensor]:
        """See `Criterion.losses`."""
        tokens = self._tokens[windows]
        return [blocked_losses(one, tokens, self._leaving, self._tile) for one in several]

    def heads(self, patterns: int) -> int:
        """Once for each pattern."""
        return patterns


class Divergence(_SummedByWindow):
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


OfAnswers = Callable[[Sequence[NDArray[np.float64]], Sequence[Question]], NDArray[np.float64]]
"""From the (options,) log-likelihoods of each question to a number for each question."""


class Answers:
    """A loss of each question from the likelihoods of its options; see `answer_loss`."""

    at_once = 1

    def __init__(
        self,
        questions: PackedQuestions,
        leaving: Exit,
        tile: Tile,
        of_answers: OfAnswers = answer_losses,
    ) -> None:
        self._questions = questions
        self._leaving = leaving
        self._tile = tile
        self._of_answers = of_answers

    def losses(self, several: Sequence[torch.Tensor], windows: slice) -> list[torch.Tensor]:
        """See `Criterion.losses`."""
        pack, place = self._questions.pack(windows), self._leaving.weight.device
        predictors, targets = pack.predictors.to(place), pack.targets.to(place)
        return [
            target_losses(one[0, predictors], targets, self._leaving, self._tile) for one in several
        ]

    def sums(self, losses: torch.Tensor, windows: slice) -> NDArray[np.float64]:
        """See `Criterion.sums`."""
        pack = self._questions.pack(windows)
        plain = losses.cpu().double().numpy()
        found = [self._of_answers(pack.log_likelihoods(one), pack.questions) for one in plain]
        return np.array(found)

    def heads(self, patterns: int) -> int:
        """Once for each pattern."""
        return patterns
