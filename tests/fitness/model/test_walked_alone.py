"""What a search is charged: the cost of its requests alone, whatever a shared store answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy_models import shared_toy
from transformers import PreTrainedModel

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.racing import Racing, race
from evop_deap.evolution.strategies import Choice
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.charged import ChargedEvaluator
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.stored_evaluator import StoredEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.space import Pattern

LENGTH, WINDOWS = 8, 5
TOKENS = np.random.default_rng(0).integers(3, 80, (WINDOWS, LENGTH))
PATTERNS = list(itertools.product((0, 1), repeat=5))
BUDGETS = [0, 40 * LENGTH * 32 * 4, 2**20]  # room for no state, for a few and for all


class DictStore:
    """A store in memory."""

    def __init__(self) -> None:
        self.known: dict[tuple[Pattern, str], float] = {}

    def get(self, context: str, patterns: list[Pattern], windows: list[str]) -> NDArray[np.float64]:
        known = [self.known.get((p, w), np.nan) for p in patterns for w in windows]
        return np.array(known).reshape(len(patterns), len(windows))

    def put(
        self, context: str, patterns: list[Pattern], windows: list[str], sums: NDArray[np.float64]
    ) -> None:
        for pattern, row in zip(patterns, sums, strict=True):
            self.known.update({(pattern, w): float(s) for w, s in zip(windows, row, strict=True)})


def fast(model: PreTrainedModel, fitness: str, budget: int, at_once: int) -> PopulationEvaluator:
    return PopulationEvaluator(
        model, find_anatomy(model), TOKENS,
        fitness=fitness, memory_budget=budget, windows_at_once=at_once, stacked=False,
    )  # fmt: skip


def shared(working: PopulationEvaluator, store: DictStore) -> StoredEvaluator:
    names = [str(window) for window in range(WINDOWS)]
    tokens = np.full(WINDOWS, LENGTH - 1)
    return StoredEvaluator(working, store, context="", windows=names, tokens=tokens)


def charged(working: PopulationEvaluator, store: DictStore) -> CachedEvaluator:
    assert working.alone is not None
    return CachedEvaluator(ChargedEvaluator(shared(working, store), working.alone))


SOME = st.lists(st.sampled_from(PATTERNS), max_size=8)
REQUESTS = st.lists(st.tuples(SOME, st.sampled_from([None, 1, 2, 4])), max_size=5)


@pytest.mark.parametrize("fitness", ["ce", pytest.param("kl", marks=pytest.mark.slow)])
@settings(max_examples=25)
@given(
    earlier=REQUESTS,
    requests=REQUESTS,
    budget=st.sampled_from(BUDGETS),
    at_once=st.sampled_from([1, 2, 8]),
)
def test_a_search_is_charged_alike_whatever_the_store_holds(
    fitness: str,
    earlier: list[tuple[list[Pattern], int | None]],
    requests: list[tuple[list[Pattern], int | None]],
    budget: int,
    at_once: int,
) -> None:
    model, store = shared_toy("llama"), DictStore()
    other = shared(fast(model, fitness, budget, at_once), store)
    for patterns, count in earlier:
        other.evaluate(patterns, None if count is None else range(count))
    warm = charged(fast(model, fitness, budget, at_once), store)
    cold = charged(fast(model, fitness, budget, at_once), DictStore())
    plain = CachedEvaluator(fast(model, fitness, budget, at_once))
    for patterns, count in requests:
        windows = None if count is None else range(count)
        found, alone, executed = (each.evaluate(patterns, windows) for each in (warm, cold, plain))
        assert found.sums.tolist() == alone.sums.tolist() == executed.sums.tolist()
        assert found.costs.tolist() == alone.costs.tolist() == executed.costs.tolist()
        assert alone.work == executed.work


def test_a_race_is_charged_alike_and_names_restore_the_charge() -> None:
    model, store = shared_toy("llama"), DictStore()
    first, second = PATTERNS[3:12], PATTERNS[12:28]
    shared(fast(model, "ce", BUDGETS[1], 1), store).evaluate(PATTERNS[8:20])

    def run(evaluator: CachedEvaluator) -> Choice:
        losses = evaluator.evaluate(first).losses.tolist()
        ranked = sorted(zip(losses, first, strict=True))
        population = [Genome(pattern, loss=loss) for loss, pattern in ranked]
        return race(
            list(map(Genome, second)),
            population,
            evaluator=evaluator,
            racing=Racing(1, 0.6),
            size=4,
        )

    warm_walks, cold_walks = fast(model, "ce", BUDGETS[1], 1), fast(model, "ce", BUDGETS[1], 1)
    warm, cold = run(charged(warm_walks, store)), run(charged(cold_walks, DictStore()))
    assert warm.chosen == cold.chosen
    assert len(cold.chosen) < len(second)
    assert warm.costs.tolist() == cold.costs.tolist()
    assert warm.known.sum() > 0 == cold.known.sum()
    assert warm_walks.alone is not None
    assert cold_walks.alone is not None
    assert warm_walks.alone.kept.names == cold_walks.kept.names
    resumed = fast(model, "ce", BUDGETS[1], 1)
    assert resumed.alone is not None
    resumed.alone.kept.restore(cold_walks.kept.names)
    assert (
        resumed.alone.costs(PATTERNS).tolist()
        == cold_walks.alone.costs(PATTERNS).tolist()
        == cold_walks.evaluate(PATTERNS).costs.tolist()
    )
