"""The kinds of windows that a fitness is taken on: text, questions, and both for a sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.text.questions import Questions

QUESTIONS_TOGETHER = 4
"""Questions in one sequence: enough tokens for matrix products to run at full speed."""


@dataclass(frozen=True, eq=False)
class TextAndQuestions:
    """Windows of a sum: each is some windows of text and some questions.

    Attributes:
        text: (windows, length) token ids.
        questions: the questions.
        together: number of windows of text that are computed together.
    """

    text: NDArray[np.int64]
    questions: Questions
    together: int

    @cached_property
    def places(self) -> tuple[list[list[int]], list[list[int]]]:
        """The windows of text, and the questions, in each window; as even as groups allow."""
        sizes = ((len(self.text), self.together), (len(self.questions), QUESTIONS_TOGETHER))
        count = min(-(-windows // together) for windows, together in sizes)
        text, questions = (_spread(*size, count) for size in sizes)
        return text, questions

    def __len__(self) -> int:
        return len(self.places[0])

    @property
    def size(self) -> int:
        """Number of tokens that a model reads."""
        return self.text.size + self.questions.size


def _spread(windows: int, together: int, count: int) -> list[list[int]]:
    """Return `count` runs of windows, which begin at multiples of `together`."""
    groups = -(-windows // together)
    ends = [min(windows, groups * run // count * together) for run in range(count + 1)]
    return [list(range(*pair)) for pair in pairwise(ends)]


Part: TypeAlias = NDArray[np.int64] | Questions
"""(windows, length) token ids without padding, or questions, each of which counts as a window."""

Windows: TypeAlias = Part | TextAndQuestions
"""What a fitness is taken on; a sum of two on text and questions."""


def taken(windows: Part, places: Sequence[int]) -> Part:
    """Return the windows at these places."""
    return windows.some(places) if isinstance(windows, Questions) else windows[list(places)]


def predicted_tokens(windows: Windows) -> NDArray[np.int64]:
    """Return the (windows,) numbers of predictions that a sum is over: 1 but for text."""
    if isinstance(windows, Questions | TextAndQuestions):
        return np.ones(len(windows), dtype=np.int64)
    return np.full(len(windows), windows.shape[1] - 1, dtype=np.int64)


def weight_beside(windows: Windows, others: Windows) -> float:
    """Return the weight of a window beside one of `others`, in a mean over both sets.

    The scarcer kind decides how many windows a sum has, and so how much of the other kind is in
    each. Windows of sums weigh as many tokens as they have, all others the same.
    """
    if not (isinstance(windows, TextAndQuestions) and isinstance(others, TextAndQuestions)):
        return 1.0
    return windows.size / len(windows) / (others.size / len(others))


def plain_tokens(windows: Windows) -> int:
    """Return the tokens that ordinary forward passes read, in which options share none."""
    if isinstance(windows, TextAndQuestions):
        return plain_tokens(windows.text) + plain_tokens(windows.questions)
    if not isinstance(windows, Questions):
        return windows.size
    return sum(len(o.tokens) - 1 for question in windows.asked for o in question.options)


def dense_work(windows: Windows, anatomy: Anatomy) -> int:
    """Return the multiply-adds of a dense pass over all windows: what costs 1."""
    if isinstance(windows, TextAndQuestions):
        return dense_work(windows.text, anatomy) + dense_work(windows.questions, anatomy)
    if not isinstance(windows, Questions):
        return anatomy.dense_work * windows.size
    predicted = sum(question.predicted for question in windows.asked)
    blocks = anatomy.dense_work - anatomy.head_work
    return blocks * windows.size + anatomy.head_work * predicted
