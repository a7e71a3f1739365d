"""What patterns are evaluated on: windows of text, or questions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.fitness.fitnesses import read_fitness
from evop_deap.fitness.model.question_pack import QuestionPack
from evop_deap.fitness.model.window_kinds import QUESTIONS_TOGETHER, Part, predicted_tokens
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.text.questions import Questions

_TOKENS_AT_ONCE = 2048  # of a state: enough for matrix products to run at full speed


class Material(Protocol):
    """The input of a model, group of windows by group.

    Attributes:
        count: number of windows.
        together: number of windows that are always computed together; a group is a multiple.
        most: largest number of such units in a group.
        row_tokens: tokens in a row; work is counted in rows.
        predicted: (windows,) number of predictions that a sum is over.
    """

    count: int
    together: int
    most: int
    row_tokens: int
    predicted: NDArray[np.int64]

    @property
    def largest(self) -> slice:
        """The largest unit."""
        ...

    def whole(self, at_once: int | None) -> int:
        """Return the number of units that the size of a group must divide.

        Args:
            at_once: the number of windows of which every multiple starts a new group, if any.
        """
        ...

    def inputs(self, windows: slice, copies: int = 1) -> dict[str, torch.Tensor]:
        """Return the arguments of `enter` for a group, `copies` times one below the other."""
        ...

    def rows(self, windows: slice) -> int:
        """Return the rows of a group that blocks process."""
        ...

    def head_rows(self, windows: slice) -> int:
        """Return the rows of a group that the head processes."""
        ...


class TextWindows:
    """Windows of equal length, each of which is a row."""

    together = 1

    def __init__(self, tokens: NDArray[np.int64], device: torch.device) -> None:
        self.tokens = torch.as_tensor(tokens, device=device)
        self.count, self.row_tokens = self.tokens.shape
        self.most = max(1, min(self.count, _TOKENS_AT_ONCE // self.row_tokens))
        self.predicted = predicted_tokens(tokens)
        self.largest = slice(0, 1)

    def whole(self, at_once: int | None) -> int:
        """See `Material.whole`."""
        return at_once or self.most

    def inputs(self, windows: slice, copies: int = 1) -> dict[str, torch.Tensor]:
        """See `Material.inputs`."""
        return {"tokens": self.tokens[windows].repeat(copies, 1)}

    def rows(self, windows: slice) -> int:
        """See `Material.rows`."""
        return len(range(self.count)[windows])

    head_rows = rows


class PackedQuestions:
    """Questions, a few in a sequence. A row is a token, and the head processes the predictors."""

    together = QUESTIONS_TOGETHER
    most = 1
    row_tokens = 1

    def __init__(self, questions: Questions, device: torch.device, dtype: torch.dtype) -> None:
        self.count = len(questions)
        self.predicted = predicted_tokens(questions)
        self._questions, self._device, self._dtype = questions, device, dtype

    @cached_property
    def packs(self) -> Sequence[QuestionPack]:
        """The sequences in order."""
        starts = range(0, self.count, self.together)
        return [
            QuestionPack.of(self._questions.asked[start : start + self.together], self._device)
            for start in starts
        ]

    @property
    def largest(self) -> slice:
        """See `Material.largest`."""
        place = max(range(len(self.packs)), key=lambda at: len(self.packs[at].tokens))
        return slice(place * self.together, (place + 1) * self.together)

    def whole(self, at_once: int | None) -> int:
        """See `Material.whole`."""
        return 1

    def pack(self, windows: slice) -> QuestionPack:
        """Return the sequence of a group."""
        return self.packs[int(windows.start) // self.together]

    def inputs(self, windows: slice, copies: int = 1) -> dict[str, torch.Tensor]:
        """See `Material.inputs`."""
        return self.pack(windows).inputs(self._dtype, copies)

    def rows(self, windows: slice) -> int:
        """See `Material.rows`."""
        return sum(question.length for question in self._questions.asked[windows])

    def head_rows(self, windows: slice) -> int:
        """See `Material.head_rows`."""
        return sum(question.predicted for question in self._questions.asked[windows])


def check_fitness(fitness: str, windows: Part) -> None:
    """Refuse a fitness that is unknown, or that cannot be taken on these windows.

    Raises:
        InputError: it cannot.
    """
    terms = read_fitness(fitness)
    if terms.is_sum or isinstance(windows, Questions) != (terms.on_text is None):
        needed = "windows of text" if terms.on_text else "questions"
        both = " and questions" if terms.is_sum else ""
        raise InputError(f"`fitness` {fitness} is taken on {needed}{both}, and not on `tokens`")


def material_of(
    windows: Part, fitness: str, device: torch.device, dtype: torch.dtype
) -> TextWindows | PackedQuestions:
    """Return the material of windows of text, or of questions.

    Raises:
        InputError: the fitness is unknown, or not for such windows.
    """
    check_fitness(fitness, windows)
    if isinstance(windows, Questions):
        return PackedQuestions(windows, device, dtype)
    return TextWindows(windows, device)


def dense_rows_work(material: Material, anatomy: Anatomy) -> int:
    """Return the multiply-adds of a dense pass over all windows, by a token of each row."""
    everything = slice(0, material.count)
    blocks = anatomy.dense_work - anatomy.head_work
    return material.rows(everything) * blocks + material.head_rows(everything) * anatomy.head_work
