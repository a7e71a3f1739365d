"""Arithmetic: exact match of the numbers that a model generates as answers to word problems.

Worked examples stand before each question. The continuation is greedy and ends with its line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch

from evop_deap.base.errors import InputError
from evop_deap.evaluation.generating import continue_greedily, end_tokens
from evop_deap.evaluation.word_problems import LEVELS, ProblemSet, make_problems
from evop_deap.evaluation.zero_shot import TaskScore

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_NUMBER = re.compile(r"(?<!\d)-?\d[\d,]*(?:\.\d+)?")
_SAID = "the answer is"
_SPARE = 8  # tokens beyond the longest solution
_VERSION = "1"


def measure_arithmetic(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    count: int,
    *,
    seed: int = 0,
    batch_size: int = 8,
) -> tuple[TaskScore, ...]:
    """Ask word problems of every level.

    Args:
        model: in evaluation mode.
        tokenizer: tokenizer of the model.
        count: problems of each level.
        seed: of the problems.
        batch_size: prompts in a batch.

    Returns:
        The `exact_match` of each level, the easiest first.
    """
    made = (make_problems(level, count, seed) for level in LEVELS)
    return tuple(measure_level(model, tokenizer, one, batch_size=batch_size) for one in made)


def measure_level(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    made: ProblemSet,
    *,
    batch_size: int = 8,
) -> TaskScore:
    """Ask the problems of one level; see `measure_arithmetic`."""
    written = _answers(model, tokenizer, made, batch_size)
    right = (
        float(read_answer(text) == problem.answer)
        for text, problem in zip(written, made.problems, strict=True)
    )
    data = hashlib.sha256("\n".join(made.prompts).encode()).hexdigest()
    return TaskScore(f"arithmetic {made.level}", "exact_match", tuple(right), _VERSION, data)


def check_arithmetic(
    tokenizer: PreTrainedTokenizerBase, count: int, *, seed: int, context: int | None
) -> None:
    """Refuse a model whose context is shorter than a question with its examples and answer.

    Args:
        tokenizer: tokenizer of the model.
        count: problems of each level.
        seed: of the problems.
        context: the longest input of the model in tokens; None for no limit.

    Raises:
        InputError: it is shorter.
    """
    for level in LEVELS:
        made = make_problems(level, count, seed)
        longest = max(len(tokenizer.encode(prompt)) for prompt in made.prompts)
        longest += _most(tokenizer, made)
        if context is not None and longest > context:
            raise InputError(
                f"`arithmetic` takes up to {longest} tokens for a {level} question, but the "
                f"model's context is {context}: leave it out"
            )


def read_answer(text: str) -> float | None:
    """Return the number that a continuation gives as its answer; None if it gives none.

    It is the first number after "The answer is", or else the last one of the first line.

    Example:
        >>> read_answer(" 7 + 5 = 12. The answer is 12.")
        12.0
        >>> read_answer(" Anna has 1,205 apples")
        1205.0
    """
    line = next((line for line in text.splitlines() if line.strip()), "")
    _, said, after = line.lower().partition(_SAID)
    numbers = _NUMBER.findall(after if said else line)
    if not numbers:
        return None
    return float(numbers[0 if said else -1].replace(",", ""))


def _answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    made: ProblemSet,
    batch_size: int,
) -> list[str]:
    """Return the continuation of each prompt."""
    prompts = [tokenizer.encode(prompt) for prompt in made.prompts]
    most, lines = _most(tokenizer, made), _line_ends(tokenizer)
    ending = {*end_tokens(model), *lines}
    written = [""] * len(prompts)
    for places in _batches(prompts, batch_size):
        batch = torch.tensor([prompts[place] for place in places], device=model.device)
        rows = continue_greedily(model, batch, most, may_end=True, ends=lines)
        for place, row in zip(places, rows.tolist(), strict=True):
            stop = next((i for i, token in enumerate(row) if token in ending), len(row))
            # The last token may be a full stop with the end of the line.
            written[place] = str(tokenizer.decode(row[: stop + 1], skip_special_tokens=True))
    return written


def _most(tokenizer: PreTrainedTokenizerBase, made: ProblemSet) -> int:
    """Return the number of tokens to generate."""
    solutions = (tokenizer.encode(f" {problem.solution}") for problem in made.problems)
    return max(map(len, solutions)) + _SPARE


def _batches(prompts: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Yield the places of prompts of equal length, so that none needs padding."""
    ordered = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    for _, alike in groupby(ordered, key=lambda place: len(prompts[place])):
        places = list(alike)
        for first in range(0, len(places), size):
            yield places[first : first + size]


def _line_ends(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that end a line which holds something: those with a line end in them."""
    ids = sorted(tokenizer.get_vocab().values())
    written = tokenizer.batch_decode([[one] for one in ids])
    return [one for one, text in zip(ids, written, strict=True) if "\n" in text]
