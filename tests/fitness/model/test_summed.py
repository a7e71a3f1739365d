"""A sum of two fitnesses, on windows of text and on questions."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_models import anatomy_of, shared_toy

from evop_deap.base.errors import InputError
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.fitnesses import read_fitness
from evop_deap.fitness.model.evaluators import Evaluators
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.window_kinds import QUESTIONS_TOGETHER, TextAndQuestions
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.space import Pattern, SearchSpace
from evop_deap.text.questions import Option, Question, Questions

TEXT = np.random.default_rng(0).integers(3, 80, (6, 8))
PATTERNS: list[Pattern] = [(1, 1, 1, 1, 1), (1, 0, 1, 1, 1), (0, 1, 1, 0, 1), (1, 0, 1, 0, 1)]


def asked(count: int) -> Questions:
    rng = np.random.default_rng(count)
    ends = [tuple(rng.integers(3, 80, 5).tolist()) for _ in range(3 * count)]
    options = [Option((4, 5, *end), 3, 4) for end in ends]
    return Questions(tuple(Question(tuple(options[i::count]), i % 3) for i in range(count)))


@settings(max_examples=6)
@given(
    count=st.integers(1, 20), together=st.integers(1, 3), name=st.sampled_from(["ce", "kl"]),
    data=st.data(),
)  # fmt: skip
def test_the_mean_over_windows_is_the_weighted_sum_of_both_losses(
    count: int, together: int, name: str, data: st.DataObject
) -> None:
    model = shared_toy("llama")
    anatomy, questions = anatomy_of(model), asked(count)
    windows = TextAndQuestions(TEXT, questions, together)
    evaluators = Evaluators(model, anatomy, f"{name}+0.25*answers")
    space = SearchSpace(model_units(anatomy), 2)
    fast = evaluators.fast(windows, space, rng=random.Random(0), windows_at_once=together)
    found = fast.evaluate(PATTERNS)
    text = ReferenceEvaluator(model, anatomy, TEXT, fitness=name).evaluate(PATTERNS)
    answers = ReferenceEvaluator(model, anatomy, questions, fitness="answers").evaluate(PATTERNS)
    expected = text.losses + 0.25 * answers.losses
    np.testing.assert_allclose(found.losses, expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(
        evaluators.plain(windows).evaluate(PATTERNS).losses, expected, atol=1e-5, rtol=0
    )
    assert found.tokens.tolist() == [1] * len(windows)
    assert fast.alone is not None
    assert fast.evaluate([PATTERNS[0]]).cost <= 1 + 1e-9
    # Parts have the bits that they have among all, and a cache puts them together again.
    fresh = evaluators.fast(windows, space, rng=random.Random(0), windows_at_once=together)
    some = data.draw(st.lists(st.integers(0, len(windows) - 1), min_size=1, unique=True))
    cached = CachedEvaluator(fresh)
    np.testing.assert_array_equal(cached.evaluate(PATTERNS[2:], some).sums, found.sums[2:, some])
    np.testing.assert_array_equal(cached.evaluate(PATTERNS[2:]).sums, found.sums[2:])


@pytest.mark.parametrize(("texts", "count"), [(6, 20), (6, 3), (1, 20), (5, 9)])
def test_every_window_of_text_and_every_question_is_in_one_window_of_the_sum(
    texts: int, count: int
) -> None:
    windows = TextAndQuestions(TEXT[:texts], asked(count), 2)
    text, questions = windows.places
    assert [place for run in text for place in run] == list(range(texts))
    assert [place for run in questions for place in run] == list(range(count))
    assert len(text) == len(questions) == len(windows)
    assert all(run[0] % 2 == 0 for run in text)
    assert all(run[0] % QUESTIONS_TOGETHER == 0 for run in questions)


def test_the_names_of_kept_states_go_back_to_their_evaluators() -> None:
    model = shared_toy("llama")
    anatomy, windows = anatomy_of(model), TextAndQuestions(TEXT, asked(9), 1)
    space = SearchSpace(model_units(anatomy), 2)
    evaluators = Evaluators(model, anatomy, "ce+answers")
    one, other = (evaluators.fast(windows, space, rng=random.Random(0)) for _ in range(2))
    one.evaluate(PATTERNS)
    other.kept.restore(one.kept.names)
    assert len(one.kept.names) > 2
    assert sorted(other.kept.names) == sorted(one.kept.names)
    more: list[Pattern] = [(1, 0, 1, 1, 0)]
    assert other.evaluate(more).cost == one.evaluate(more).cost


@pytest.mark.parametrize(
    "name", ["", "CE", "ce+kl", "answers+ce", "ce+0*answers", "ce+-1*answers", "ce+9999999*answers"]
)
def test_what_is_no_fitness_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"or a sum such as 'ce\+0.5\*answers', but got '"):
        read_fitness(name)
