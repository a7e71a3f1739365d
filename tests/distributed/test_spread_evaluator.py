from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_models import anatomy_of
from toy_workers import toy_evaluator, toy_tokens
from transformers import PreTrainedModel

from evop_deap.base.errors import InputError
from evop_deap.distributed.spread_evaluator import SpreadEvaluator
from evop_deap.distributed.worker import Call
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.charged import ChargedEvaluator
from evop_deap.fitness.in_flight import InFlight
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.protocol import Evaluation, ModelEvaluator
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.space import Pattern

WINDOWS = 5
BITS = st.tuples(*[st.sampled_from([0, 1])] * 5).filter(any)
GENERATIONS = st.lists(BITS, min_size=1, max_size=8)
ASKED = st.none() | st.lists(st.integers(0, WINDOWS - 1), min_size=1, unique=True)


@dataclass(frozen=True)
class InTurn:
    """Workers in this process, which end their tasks in any order."""

    evaluators: Sequence[ModelEvaluator]
    data: st.DataObject
    running: dict[int, Call] = field(default_factory=dict)

    @property
    def ready(self) -> int:
        return len(self.evaluators)

    def take_unreported(self) -> float:
        return 0.0

    def do(self, calls: Sequence[Call]) -> Iterator[tuple[int, Evaluation]]:
        for at in self.data.draw(st.permutations(range(len(calls)))) if calls else []:
            worker = self.data.draw(st.sampled_from(self.evaluators))
            yield at, worker.evaluate(calls[at].patterns, calls[at].windows)

    def begin(self, call: Call) -> int:
        number = 1 + max(self.running, default=0)
        self.running[number] = call
        return number

    def ended(self) -> list[tuple[int, Evaluation]]:
        some = st.lists(st.sampled_from(sorted(self.running)), min_size=1, unique=True)
        calls = [(number, self.running.pop(number)) for number in self.data.draw(some)]
        worker = self.data.draw(st.sampled_from(self.evaluators))
        return [(number, worker.evaluate(call.patterns, call.windows)) for number, call in calls]

    def forget(self) -> None:
        self.running.clear()


def spread_over(pool: Any, local: ModelEvaluator, model: PreTrainedModel, **options: Any) -> Any:
    anatomy = anatomy_of(model)
    work = [unit.work for unit in model_units(anatomy)]
    return SpreadEvaluator(local, pool, work=work, head_work=anatomy.head_work, **options)


@pytest.mark.parametrize("fitness", ["ce", "kl"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), workers=st.integers(1, 9), whole=st.booleans())
def test_losses_and_costs_are_those_of_one_process_with_any_number_of_workers(
    llama: PreTrainedModel, fitness: str, data: st.DataObject, workers: int, whole: bool
) -> None:
    alone = toy_evaluator(llama, fitness)
    pool = InTurn([toy_evaluator(llama, fitness) for _ in range(workers)], data)
    spread = spread_over(pool, toy_evaluator(llama, fitness), llama, whole=whole)
    one, several = (ChargedEvaluator(each, each.alone) for each in (alone, spread))
    for _ in range(2):  # the second generation goes on from hidden states of the first
        patterns, windows = data.draw(GENERATIONS), data.draw(ASKED)
        expected, found = one.evaluate(patterns, windows), several.evaluate(patterns, windows)
        np.testing.assert_array_equal(found.sums, expected.sums)
        np.testing.assert_array_equal(found.tokens, expected.tokens)
        np.testing.assert_array_equal(found.costs, expected.costs)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), workers=st.integers(1, 4), patterns=st.lists(BITS, min_size=1, unique=True))
def test_patterns_in_flight_have_the_losses_and_costs_of_each_alone_in_any_order(
    llama: PreTrainedModel, data: st.DataObject, workers: int, patterns: list[Pattern]
) -> None:
    pool = InTurn([toy_evaluator(llama) for _ in range(workers)], data)
    counted: list[None] = []
    spread = spread_over(
        pool, toy_evaluator(llama), llama, on_evaluated=lambda: counted.append(None)
    )
    cached = CachedEvaluator(ChargedEvaluator(spread, spread.alone))
    flight, found = InFlight(cached, spread.background), dict[Pattern, Evaluation]()
    waiting, begun = list(patterns), 0
    while len(found) < len(patterns):
        while waiting and begun - len(found) < flight.places:
            flight.start(waiting.pop())
            begun += 1
        pattern, one = flight.finished()
        found[pattern] = one
    assert flight.places == workers
    assert len(found) == len(counted) == len(patterns)
    for pattern, one in found.items():
        expected = toy_evaluator(llama).evaluate([pattern])
        np.testing.assert_array_equal(one.sums, expected.sums)
        np.testing.assert_array_equal(one.costs, expected.costs)
        assert one.work.executed == expected.work.executed
        assert one.hits == 0
    assert list(cached.rows) == list(found)  # as they were finished
    plain = ReferenceEvaluator(llama, anatomy_of(llama), toy_tokens(llama)).evaluate(list(found))
    losses = [float(one.losses[0]) for one in found.values()]
    np.testing.assert_allclose(losses, plain.losses, rtol=1e-5)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), workers=st.integers(1, 4))
def test_a_plain_evaluator_is_split_by_patterns_alone(
    llama: PreTrainedModel, data: st.DataObject, workers: int
) -> None:
    tokens = np.random.default_rng(0).integers(0, llama.config.vocab_size, (WINDOWS, 12))
    plain = ReferenceEvaluator(llama, anatomy_of(llama), tokens)
    spread = spread_over(InTurn([plain] * workers, data), plain, llama)
    patterns, windows = data.draw(GENERATIONS), data.draw(ASKED)
    expected, found = plain.evaluate(patterns, windows), spread.evaluate(patterns, windows)
    np.testing.assert_array_equal(found.sums, expected.sums)
    np.testing.assert_array_equal(found.costs, expected.costs)
    assert found.work.block_tokens == expected.work.block_tokens
    assert found.work.executed == pytest.approx(expected.work.executed)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_each_pattern_is_counted_once_for_the_display(
    llama: PreTrainedModel, data: st.DataObject
) -> None:
    counted: list[None] = []
    pool = InTurn([toy_evaluator(llama)] * 3, data)
    spread = spread_over(
        pool, toy_evaluator(llama), llama, on_evaluated=lambda: counted.append(None)
    )
    patterns = data.draw(GENERATIONS)
    spread.evaluate(patterns, data.draw(ASKED))
    assert len(counted) == len(patterns)


def test_no_pattern_needs_no_worker(llama: PreTrainedModel) -> None:
    spread = spread_over(InTurn([], None), toy_evaluator(llama), llama)  # type: ignore[arg-type]
    assert spread.evaluate([]).sums.shape == (0, WINDOWS)
    assert spread.evaluate([], [1, 2]).tokens.tolist() == [11, 11]


def test_it_says_of_itself_what_one_process_says(llama: PreTrainedModel) -> None:
    local: PopulationEvaluator = toy_evaluator(llama, "kl")
    spread = spread_over(None, local, llama)
    for name in ("name", "arithmetic", "batches", "preparation_cost"):
        assert getattr(spread, name) == getattr(local, name)
    with pytest.raises(InputError, match="SpreadEvaluator holds workers and cannot be pickled"):
        spread.__getstate__()
