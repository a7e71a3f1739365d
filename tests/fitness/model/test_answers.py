"""The fitness `answers`: questions in the place of windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_models import anatomy_of, shared_toy
from transformers import PreTrainedModel

from evop_deap.base.errors import InputError
from evop_deap.fitness.answer_losses import answer_loss, answered_right
from evop_deap.fitness.model.evaluators import Evaluators
from evop_deap.fitness.model.option_likelihoods import likelihoods_of
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.right_answers import right_answers
from evop_deap.fitness.model.self_check import checked_evaluator
from evop_deap.fitness.model.window_kinds import QUESTIONS_TOGETHER
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.space import Pattern, dropped_units
from evop_deap.text.questions import Option, Question, Questions

UNITS = 5


@st.composite
def questions(draw: st.DrawFn, most: int = 7, different: bool = False) -> Questions:
    """Questions of all shapes: options of one token, equal options, options that share tokens."""
    token = st.integers(3, 8)  # few, so that options begin alike
    asked = []
    for _ in range(draw(st.integers(1, most))):
        text = tuple(draw(st.lists(token, min_size=1, max_size=6)))
        end, unique = st.lists(token, min_size=1, max_size=4), tuple if different else None
        ends = draw(st.lists(end, min_size=2, max_size=4, unique_by=unique))
        options = tuple(Option((*text, *end), len(text), 2 * len(end)) for end in ends)
        asked.append(Question(options, draw(st.integers(0, len(ends) - 1))))
    return Questions(tuple(asked))


def populations() -> st.SearchStrategy[list[Pattern]]:
    bit = st.sampled_from([0, 1])
    return st.lists(st.tuples(*[bit] * UNITS).filter(any), min_size=1, max_size=6)


@pytest.mark.parametrize("broken", [[math.nan, math.nan], [math.nan, -1.0], [-math.inf] * 2])
def test_a_model_that_computes_no_numbers_answers_nothing_right(broken: list[float]) -> None:
    question = Question((Option((1, 2), 1, 4), Option((1, 3), 1, 4)), right=0)
    assert not answered_right(np.array(broken), question)
    assert math.isnan(answer_loss(np.array(broken), question))


@settings(max_examples=30)
@given(asked=questions(), population=populations(), data=st.data())
def test_shared_text_changes_no_loss(
    asked: Questions, population: list[Pattern], data: st.DataObject
) -> None:
    model = shared_toy("llama")
    anatomy = anatomy_of(model)
    fast = PopulationEvaluator(
        model, anatomy, asked, fitness="answers",
        stacked=data.draw(st.booleans()),
        memory_budget=data.draw(st.sampled_from([1, 50_000, 2**29])),
    )  # fmt: skip
    plain = ReferenceEvaluator(model, anatomy, asked, fitness="answers")
    found, expected = fast.evaluate(population), plain.evaluate(population)
    np.testing.assert_allclose(found.sums, expected.sums, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    assert found.cost <= expected.cost + 1e-9
    assert found.work.block_tokens <= expected.work.block_tokens


@settings(max_examples=10)
@given(asked=questions(different=True), population=populations())
def test_answers_of_all_patterns_are_those_of_each_alone(
    asked: Questions, population: list[Pattern]
) -> None:
    model = shared_toy("llama")
    anatomy = anatomy_of(model)
    expected = []
    for pattern in population:
        with bypassed(anatomy, dropped_units(pattern)):
            each = zip(likelihoods_of(model, asked), asked.asked, strict=True)
            expected.append([answered_right(found, question) for found, question in each])
    assert right_answers(model, anatomy, population, asked).tolist() == expected


def test_answers_are_the_model_s_own_where_the_population_evaluator_is_not_exact() -> None:
    model = shared_toy("llama")
    layer = model.model.layers[2]
    said: list[str] = []
    asked = Questions(
        tuple(
            Question(tuple(Option((3, 4, 5 + at, end, 4), 3, 2) for end in (6, 7)), at % 2)
            for at in range(6)
        )
    )
    # A block that acts by the place in the sequence, where options of a pack are apart.
    forward = layer.forward
    layer.forward = lambda hidden, *args, **kwargs: (
        forward(hidden, *args, **kwargs) + torch.arange(hidden.shape[1])[None, :, None]
    )
    try:
        found = right_answers(
            model, anatomy_of(model), [(1,) * UNITS], asked, on_fallback=said.append
        )
        each = zip(likelihoods_of(model, asked), asked.asked, strict=True)
        plain = [answered_right(likelihoods, question) for likelihoods, question in each]
    finally:
        del layer.forward
    assert "the population evaluator is not used" in said[0]
    assert found.tolist() == [plain]


@settings(max_examples=10)
@given(asked=questions(), population=populations(), data=st.data())
def test_a_loss_has_the_same_bits_whatever_else_is_evaluated(
    asked: Questions, population: list[Pattern], data: st.DataObject
) -> None:
    model = shared_toy("llama")
    evaluator = PopulationEvaluator(model, anatomy_of(model), asked, fitness="answers")
    whole = evaluator.evaluate(population).sums
    some = data.draw(st.lists(st.integers(0, len(asked) - 1), min_size=1, unique=True))
    one = data.draw(st.integers(0, len(population) - 1))
    again = PopulationEvaluator(model, anatomy_of(model), asked, fitness="answers")
    np.testing.assert_array_equal(again.evaluate([population[one]], some).sums[0], whole[one][some])


@settings(max_examples=5)
@given(asked=questions(most=2), pattern=st.tuples(*[st.sampled_from([0, 1])] * UNITS).filter(any))
def test_the_plain_loss_is_that_of_the_options_one_by_one(
    asked: Questions, pattern: Pattern
) -> None:
    model = shared_toy("llama")
    anatomy = anatomy_of(model)
    found = ReferenceEvaluator(model, anatomy, asked, fitness="answers").evaluate([pattern]).sums[0]
    for question, loss in zip(asked.asked, found, strict=True):
        means = []
        for option in question.options:
            ids = torch.tensor([option.tokens])
            with torch.no_grad(), bypassed(anatomy, dropped_units(pattern)):
                logs = model(ids, use_cache=False).logits[0].double().log_softmax(-1)
            each = [logs[at - 1, option.tokens[at]] for at in range(option.start, ids.shape[1])]
            means.append(float(sum(each)) / option.characters)
        expected = -torch.tensor(means).log_softmax(0)[question.right]
        assert loss == pytest.approx(float(expected), abs=1e-5)


def test_a_dense_pass_costs_one_and_shared_text_is_run_once() -> None:
    model = shared_toy("llama")
    text = tuple(range(3, 13))
    question = Question(tuple(Option((*text, end, 5), 10, 2) for end in (20, 21, 22)), 0)
    asked = Questions((question,) * (QUESTIONS_TOGETHER + 1))
    evaluator = PopulationEvaluator(model, anatomy_of(model), asked, fitness="answers")
    dense = evaluator.evaluate([(1,) * UNITS])
    assert dense.cost == pytest.approx(1.0)
    assert question.length == 10 + 3
    assert dense.work.block_tokens == UNITS * asked.size == UNITS * 5 * 13
    assert dense.work.head_tokens == 5 * 6
    part = evaluator.evaluate([(0, *[1] * (UNITS - 1))], [0])
    assert part.work.head_tokens == QUESTIONS_TOGETHER * 6


def test_a_loss_that_is_not_finite_is_infinite() -> None:
    question = Question((Option((1, 2), 1, 4), Option((1, 3), 1, 4)), 0)
    assert np.isnan(answer_loss(np.array([-np.inf, -1.0]), question))


@pytest.mark.parametrize("fitness", ["ce", "kl", "answers"])
def test_a_fitness_is_refused_on_the_wrong_material(fitness: str) -> None:
    model = shared_toy("llama")
    asked = Questions((Question((Option((1, 2), 1, 4), Option((1, 3), 1, 4)), 0),))
    wrong = np.ones((1, 4), dtype=np.int64) if fitness == "answers" else asked
    for kind in (PopulationEvaluator, ReferenceEvaluator):
        with pytest.raises(InputError, match=f"`fitness` {fitness} is taken on "):
            kind(model, anatomy_of(model), wrong, fitness=fitness)


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=questions(different=True))  # equal options have the same loss by any model
def test_every_architecture_gets_its_own_losses(
    any_model: PreTrainedModel, asked: Questions
) -> None:
    """By the fast evaluator where that is exact, and otherwise by the plain one."""
    anatomy = anatomy_of(any_model)
    count = len(model_units(anatomy))
    patterns = [(1,) * count, (1, 0, *[1] * (count - 2))]
    checked = checked_evaluator(any_model, anatomy, asked, patterns, fitness="answers")
    found = Evaluators(any_model, anatomy, "answers").evaluate(asked, patterns[1:])
    plain = ReferenceEvaluator(any_model, anatomy, asked, fitness="answers").evaluate(patterns)
    np.testing.assert_allclose(checked.evaluate(patterns).sums, plain.sums, atol=1e-4, rtol=0)
    np.testing.assert_allclose(found.sums, plain.sums[1:], atol=1e-4, rtol=0)
