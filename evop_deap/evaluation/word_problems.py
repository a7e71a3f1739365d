"""Arithmetic in words, made by a seed: plain sums, and problems of one to three steps.

They are in the manner of GSM8K (Cobbe et al. 2021, arXiv 2110.14168) but easier, so that small base
models solve some of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evop_deap.base.errors import InputError

MOST = 2000
"""Largest number of problems of a level: there are 2,301 different sums."""

_NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Iris", "Jack")
_THINGS = ("apples", "books", "coins", "eggs", "flowers", "marbles", "pencils", "stamps", "toys")
_PLACES = ("bags", "baskets", "boxes", "drawers")
_MORE = (
    "{name} buys {count} more.",
    "{name} finds {count} more.",
    "{name} gets {count} more.",
)
_FEWER = ("{name} gives away {count}.", "{name} loses {count}.", "{name} sells {count}.")
_EXAMPLES = 3
_GROUPED = 0.3  # share of the stories that begin with a product


@dataclass(frozen=True)
class WordProblem:
    """A question with a number as its answer.

    Attributes:
        question: in words.
        solution: the steps in figures, then the answer.
        answer: a number of at least 0.
    """

    question: str
    solution: str
    answer: int

    def as_text(self, *, solved: bool) -> str:
        """Return the problem as a model reads it, with or without its solution."""
        return f"Question: {self.question}\nAnswer:{' ' + self.solution if solved else ''}"


@dataclass(frozen=True)
class ProblemSet:
    """The problems of one level.

    Attributes:
        level: a key of `LEVELS`.
        examples: worked examples that stand before every question.
        problems: different problems, none of them an example.
    """

    level: str
    examples: tuple[WordProblem, ...]
    problems: tuple[WordProblem, ...]

    @property
    def prompts(self) -> tuple[str, ...]:
        """What a model reads for each problem."""
        before = "".join(f"{example.as_text(solved=True)}\n\n" for example in self.examples)
        return tuple(before + problem.as_text(solved=False) for problem in self.problems)


def make_problems(level: str, count: int, seed: int) -> ProblemSet:
    """Make problems; a larger number of them begins with the smaller one.

    Args:
        level: a key of `LEVELS`.
        count: number of problems, 1 to `MOST`.
        seed: of all that is random in them.

    Raises:
        InputError: `count` is larger.

    Example:
        >>> made = make_problems("sums", 2, seed=0)
        >>> made.problems[0].solution
        '34 - 7 = 27. The answer is 27.'
    """
    if count > MOST:
        raise InputError(f"`count` must be at most {MOST:,}, but got {count:,}")
    # A string seeds the same everywhere, and every level in its own way.
    rng, make = random.Random(f"{seed} {level}"), LEVELS[level]
    different: dict[str, WordProblem] = {}
    while len(different) < count + _EXAMPLES:
        problem = make(rng)
        different.setdefault(problem.question, problem)
    first, *others = different.values()
    examples, problems = (first, *others[: _EXAMPLES - 1]), others[_EXAMPLES - 1 :]
    return ProblemSet(level, examples, tuple(problems))


def _sum(rng: random.Random) -> WordProblem:
    """A sum or a difference of two numbers, without a story."""
    first, second = rng.randint(2, 40), rng.randint(2, 40)
    if rng.random() < 0.5:
        return _problem(f"What is {first} plus {second}?", [(first, "+", second)])
    larger, smaller = max(first, second), min(first, second)
    return _problem(f"What is {larger} minus {smaller}?", [(larger, "-", smaller)])


def _story(steps: int) -> Callable[[random.Random], WordProblem]:
    """Return what makes a story in which a number of things changes in `steps` steps."""

    def make(rng: random.Random) -> WordProblem:
        name, things = rng.choice(_NAMES), rng.choice(_THINGS)
        done: list[tuple[int, str, int]] = []
        if rng.random() < _GROUPED:
            groups, each = rng.randint(2, 6), rng.randint(3, 10)
            told = [f"{name} has {groups} {rng.choice(_PLACES)} with {each} {things} each."]
            done.append((groups, "*", each))
            now = groups * each
        else:
            now = rng.randint(5, 30)
            told = [f"{name} has {now} {things}."]
        while len(done) < steps:
            count = rng.randint(2, 15)
            fewer = count < now and rng.random() < 0.5
            told.append(rng.choice(_FEWER if fewer else _MORE).format(name=name, count=count))
            done.append((now, "-" if fewer else "+", count))
            now = _result(*done[-1])
        return _problem(f"{' '.join(told)} How many {things} does {name} have now?", done)

    return make


LEVELS: Mapping[str, Callable[[random.Random], WordProblem]] = {
    "sums": _sum,
    "one-step": _story(1),
    "two-step": _story(2),
    "three-step": _story(3),
}
"""The levels of difficulty, the easiest first."""


def _problem(question: str, steps: list[tuple[int, str, int]]) -> WordProblem:
    worked = " ".join(f"{a} {sign} {b} = {_result(a, sign, b)}." for a, sign, b in steps)
    answer = _result(*steps[-1])
    return WordProblem(question, f"{worked} The answer is {answer}.", answer)


def _result(first: int, sign: str, second: int) -> int:
    return {"+": first + second, "-": first - second, "*": first * second}[sign]
