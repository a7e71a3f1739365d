"""The weighted sum of a fitness on text and the loss of questions.

A window of the sum is some windows of text and some questions. Its loss is so scaled that the mean
over windows is the mean loss of a token plus the weighted mean loss of a question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evop_deap.fitness.model.window_kinds import (
    Part,
    TextAndQuestions,
    dense_work,
    predicted_tokens,
)
from evop_deap.fitness.protocol import CostAlone, Evaluation, Evaluator, KeptNames, Work
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from evop_deap.fitness.protocol import ModelEvaluator
    from evop_deap.models.anatomy.parts import Anatomy


@dataclass(frozen=True, eq=False)
class Scales:
    """How the parts of a sum are scaled: text first, then questions.

    Attributes:
        places: for each part, the windows of it in each window of the sum.
        losses: factors on sums.
        costs: factors on costs.
    """

    places: tuple[Sequence[Sequence[int]], ...]
    losses: tuple[float, ...]
    costs: tuple[float, ...]

    @classmethod
    def of(cls, windows: TextAndQuestions, weight: float, anatomy: Anatomy) -> Scales:
        """Return the factors for these windows, and for this weight of the loss of a question."""
        parts: tuple[Part, Part] = (windows.text, windows.questions)
        works = [dense_work(part, anatomy) for part in parts]
        count = len(windows)
        return cls(
            windows.places,
            tuple(
                factor * count / float(predicted_tokens(part).sum())
                for factor, part in zip((1.0, weight), parts, strict=True)
            ),
            tuple(work / sum(works) for work in works),
        )

    def wanted(self, part: int, windows: Sequence[int]) -> list[int]:
        """Return the windows of a part that are in these windows of the sum."""
        return [place for window in windows for place in self.places[part][window]]

    def summed(self, found: Sequence[Evaluation], windows: Sequence[int]) -> Evaluation:
        """Return the evaluation on these windows, given those of both parts."""
        patterns = len(found[0].costs)
        sums, costs, work = np.zeros((patterns, len(windows))), np.zeros(patterns), Work()
        for part, one in enumerate(found):
            column = 0
            for place, window in enumerate(windows):
                # One by one, so that the bits of a sum do not depend on the number of patterns.
                for _ in self.places[part][window]:
                    sums[:, place] += self.losses[part] * one.sums[:, column]
                    column += 1
            costs += self.costs[part] * one.costs
            work += replace(one.work, executed=self.costs[part] * one.work.executed)
        return Evaluation(sums, np.ones(len(windows), dtype=np.int64), costs, work)


class SummedEvaluator:
    """Evaluates patterns by a fitness on text plus the weighted loss of questions.

    Args:
        text: evaluates patterns on the windows of text.
        questions: evaluates them on the questions.
        windows: the windows of the sum.
        weight: of the loss of a question.
        anatomy: says what a pass over either costs.
    """

    def __init__(
        self,
        text: Evaluator,
        questions: Evaluator,
        windows: TextAndQuestions,
        weight: float,
        anatomy: Anatomy,
    ) -> None:
        self._parts = (text, questions)
        self._count = len(windows)
        self._scales = Scales.of(windows, weight, anatomy)

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index."""
        asked = range(self._count) if windows is None else windows
        found = [
            evaluator.evaluate(
                patterns, None if windows is None else self._scales.wanted(part, asked)
            )
            for part, evaluator in enumerate(self._parts)
        ]
        return self._scales.summed(found, asked)


class SummedModelEvaluator(SummedEvaluator):
    """A sum of two evaluators of a model, with the properties that a run needs."""

    def __init__(
        self,
        text: ModelEvaluator,
        questions: ModelEvaluator,
        windows: TextAndQuestions,
        weight: float,
        anatomy: Anatomy,
    ) -> None:
        super().__init__(text, questions, windows, weight, anatomy)
        self._both = (text, questions)
        self._weight = weight
        self.kept = _KeptOfBoth(text.kept, questions.kept)
        self.alone: CostAlone | None = None
        if text.alone is not None and questions.alone is not None:
            self.alone = _AloneOfBoth((text.alone, questions.alone), self._count, self._scales)

    @property
    def name(self) -> str:
        """The name of the evaluators in results."""
        return " and ".join(dict.fromkeys(one.name for one in self._both))

    @property
    def arithmetic(self) -> str:
        """What affects the last bits of a sum, besides model, pattern, window and batch."""
        text, questions = (one.arithmetic for one in self._both)
        return f"{text} + {self._weight} * ({questions})"

    @property
    def batches(self) -> tuple[int, ...] | None:
        """The sizes of the batches of text, then of questions; None if one varies."""
        text, questions = (one.batches for one in self._both)
        return None if text is None or questions is None else (*text, *questions)

    @property
    def preparation_cost(self) -> float:
        """Dense-forward equivalents spent before the first pattern."""
        each = zip(self._scales.costs, self._both, strict=True)
        return sum(share * one.preparation_cost for share, one in each)


class _KeptOfBoth:
    """The names of the states that two evaluators keep; groups of text are even, others odd."""

    def __init__(self, *both: KeptNames) -> None:
        self._both = both

    @property
    def names(self) -> list[tuple[int, Sequence[tuple[int, ...]]]]:
        return [
            (2 * group + odd, prefixes)
            for odd, kept in enumerate(self._both)
            for group, prefixes in kept.names
        ]

    def restore(self, names: Iterable[tuple[int, Sequence[tuple[int, ...]]]]) -> None:
        known = list(names)
        for odd, kept in enumerate(self._both):
            kept.restore([(group // 2, some) for group, some in known if group % 2 == odd])


class _AloneOfBoth:
    """The costs of both evaluators if no loss is shared."""

    def __init__(self, both: tuple[CostAlone, CostAlone], count: int, scales: Scales) -> None:
        self._both, self._count, self._scales = both, count, scales
        self.kept = _KeptOfBoth(*(one.kept for one in both))

    def costs(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        asked = range(self._count) if windows is None else windows
        costs = np.zeros(len(patterns))
        for part, alone in enumerate(self._both):
            wanted = None if windows is None else self._scales.wanted(part, asked)
            costs += self._scales.costs[part] * alone.costs(patterns, wanted)
        return costs

    def anew(self) -> _AloneOfBoth:
        text, questions = (one.anew() for one in self._both)
        return _AloneOfBoth((text, questions), self._count, self._scales)
