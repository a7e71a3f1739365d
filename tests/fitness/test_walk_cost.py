"""What a walk is said to cost is what the population evaluator spends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_models import toy_model
from transformers import PreTrainedModel

from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.space import Pattern

TOKENS = np.random.default_rng(0).integers(3, 80, (2, 8))

WORK = st.lists(st.integers(0, 10**12), min_size=1, max_size=8)
HEAD = st.integers(1, 10**12)


def populations(n_units: int, max_size: int = 12) -> st.SearchStrategy[list[Pattern]]:
    """Some of which hold a pattern twice, or one that keeps nothing."""
    bit = st.sampled_from([0, 1])
    few = st.lists(st.tuples(*[bit] * n_units), min_size=1, max_size=max_size)
    return few.flatmap(lambda pool: st.lists(st.sampled_from(pool), max_size=max_size))


# Blocks of the first all cost the same, those of the others do not.
@pytest.fixture(scope="module", params=["llama", "deepseek-v3", "qwen3-moe"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return toy_model(request.param)


@pytest.fixture(scope="module")
def anatomy(model: PreTrainedModel) -> Anatomy:
    return find_anatomy(model)


def said(population: list[Pattern], anatomy: Anatomy) -> np.ndarray:
    return walk_costs(population, [block.work for block in anatomy.blocks], anatomy.head_work)


@settings(max_examples=40)
@given(
    data=st.data(),
    stacked=st.booleans(),
    memory_budget=st.sampled_from([1, 20_000, 2**29]),
)
def test_a_population_costs_what_its_evaluator_spends(
    model: PreTrainedModel,
    anatomy: Anatomy,
    data: st.DataObject,
    stacked: bool,
    memory_budget: int,
) -> None:
    population = data.draw(populations(len(anatomy.blocks)))
    evaluator = PopulationEvaluator(
        model, anatomy, TOKENS, stacked=stacked, memory_budget=memory_budget
    )
    spent = evaluator.evaluate(population)
    assert said(population, anatomy).sum() == pytest.approx(spent.cost, rel=1e-12)
    if not stacked:
        np.testing.assert_allclose(said(population, anatomy), spent.costs, rtol=1e-12)


def test_a_population_of_many_costs_row_by_row_what_its_evaluator_spends(
    llama: PreTrainedModel,
) -> None:
    anatomy = find_anatomy(llama)
    rows = np.random.default_rng(1).integers(0, 2, (150, len(anatomy.blocks))).tolist()
    population = [tuple(row) for row in rows]
    spent = PopulationEvaluator(llama, anatomy, TOKENS, stacked=False).evaluate(population)
    np.testing.assert_allclose(said(population, anatomy), spent.costs, rtol=1e-12)


@given(work=WORK, head_work=HEAD)
def test_the_dense_pattern_costs_one_and_nothing_costs_nothing(
    work: list[int], head_work: int
) -> None:
    assert walk_costs([(1,) * len(work)], work, head_work).tolist() == [1.0]
    nothing = walk_costs([], work, head_work)
    assert nothing.shape == (0,)
    assert nothing.sum() == 0


@given(work=WORK, head_work=HEAD, data=st.data())
def test_a_pattern_alone_costs_what_it_keeps_and_again_only_its_head(
    work: list[int], head_work: int, data: st.DataObject
) -> None:
    pattern = data.draw(st.tuples(*[st.sampled_from([0, 1])] * len(work)))
    dense = sum(work) + head_work
    kept = sum(w for w, keep in zip(work, pattern, strict=True) if keep) + head_work
    costs = walk_costs([pattern, pattern], work, head_work)
    np.testing.assert_allclose(costs, [kept / dense, head_work / dense], rtol=1e-12)


@given(work=WORK, head_work=HEAD, data=st.data())
def test_the_order_moves_costs_between_patterns_and_leaves_their_sum(
    work: list[int], head_work: int, data: st.DataObject
) -> None:
    population = data.draw(populations(len(work)))
    costs = walk_costs(population, work, head_work)
    shuffled = walk_costs(data.draw(st.permutations(population)), work, head_work)
    assert costs.sum() == pytest.approx(shuffled.sum(), rel=1e-9)


def test_patterns_share_what_they_keep_alike_from_the_bottom_and_no_more() -> None:
    # Alike above a difference is not alike: the state there is another.
    costs = walk_costs([(1, 1, 1), (1, 0, 1), (1, 1, 0)], [1, 10, 100], 1000)
    np.testing.assert_allclose(costs * 1111, [1111, 1100, 1000])
