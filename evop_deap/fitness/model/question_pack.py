"""Some questions as one sequence of tokens, in which the options of a question share its text.

The text of a question is followed by the rest of each option. A token sees the text before it in
its own option only, at the positions that it would have there. So a model computes for every
option what it computes for the option alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.text.questions import Option, Question


@dataclass(frozen=True, eq=False)
class QuestionPack:
    """Questions as one sequence.

    Attributes:
        questions: the questions.
        tokens: (length,) token ids.
        positions: (length,) position of each token in its option.
        visible: (length, length) whether the token of the row sees that of the column.
        predictors: (predictions,) places of the tokens that predict a token of an option.
        targets: (predictions,) the tokens predicted.
        counts: for each option of each question, the number of its predictions.
    """

    questions: tuple[Question, ...]
    tokens: torch.Tensor
    positions: torch.Tensor
    visible: torch.Tensor
    predictors: torch.Tensor
    targets: torch.Tensor
    counts: tuple[int, ...]

    @classmethod
    def of(cls, questions: Sequence[Question], device: torch.device) -> QuestionPack:
        """Return the pack of these questions."""
        length = sum(question.length for question in questions)
        tokens, positions = np.zeros((2, length), dtype=np.int64)
        visible = np.zeros((length, length), dtype=bool)
        predictors: list[int] = []
        targets: list[int] = []
        begin = 0
        for question in questions:
            end = begin + question.shared
            for option in question.options:
                places = [*range(begin, begin + question.shared)]
                places += range(end, end := end + len(option.tokens) - 1 - question.shared)
                tokens[places], positions[places] = option.tokens[:-1], range(len(places))
                visible[np.ix_(places, places)] |= np.tri(len(places), dtype=bool)
                predictors += places[option.start - 1 :]
                targets += option.tokens[option.start :]
            begin = end
        return cls(
            questions=tuple(questions),
            tokens=torch.as_tensor(tokens, device=device),
            positions=torch.as_tensor(positions, device=device),
            visible=torch.as_tensor(visible, device=device),
            predictors=torch.tensor(predictors, device=device),
            targets=torch.tensor(targets, device=device),
            counts=tuple(_predictions(o) for q in questions for o in q.options),
        )

    def inputs(self, dtype: torch.dtype, copies: int = 1) -> dict[str, torch.Tensor]:
        """Return the arguments of `enter`, one row for each copy.

        Args:
            dtype: of the model; the mask is added to attention scores.
            copies: number of rows.
        """
        mask = torch.zeros(self.visible.shape, dtype=dtype, device=self.visible.device)
        mask.masked_fill_(~self.visible, torch.finfo(dtype).min)
        return {
            "tokens": self.tokens.expand(copies, -1),
            "position_ids": self.positions.expand(copies, -1),
            "attention_mask": mask.expand(copies, 1, -1, -1),
        }

    def log_likelihoods(self, losses: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return the (options,) log-likelihoods of each question.

        Args:
            losses: (predictions,) negative log-likelihoods of `targets`.
        """
        ends = list(accumulate(self.counts))
        of_options = [-part.sum() for part in np.split(losses, ends[:-1])]
        ends = list(accumulate(len(question.options) for question in self.questions))
        return np.split(np.array(of_options), ends[:-1])


def _predictions(option: Option) -> int:
    return len(option.tokens) - option.start
