from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_models import anatomy_of
from transformers import PreTrainedModel

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.tiles import Tile
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.space import Pattern

LENGTH = 12


def populations(n_blocks: int) -> st.SearchStrategy[list[Pattern]]:
    bit = st.sampled_from([0, 1])
    return st.lists(st.tuples(*[bit] * n_blocks).filter(any), min_size=1, max_size=8)


@pytest.mark.parametrize("granularity", ["block", "half"])
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_population_evaluator_equals_the_reference_for_every_architecture(
    any_model: PreTrainedModel, granularity: str, data: st.DataObject
) -> None:
    try:
        anatomy = anatomy_of(any_model, granularity)
    except UnsupportedModelError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shape = (data.draw(st.integers(1, 5)), LENGTH)
    tokens = rng.integers(0, any_model.config.vocab_size, shape)
    fitness = data.draw(st.sampled_from(["ce", "kl"]))
    evaluator = PopulationEvaluator(
        any_model,
        anatomy,
        tokens,
        fitness=fitness,
        stacked=data.draw(st.booleans()),
        memory_budget=data.draw(st.sampled_from([1, 50_000, 2**29])),
        windows_at_once=data.draw(st.sampled_from([None, 1, 2])),
        tile=Tile(data.draw(st.integers(1, 60)), data.draw(st.integers(1, 200))),
    )
    reference = ReferenceEvaluator(any_model, anatomy, tokens, fitness=fitness)
    # The second population starts from what was kept of the first.
    for _ in range(2):
        population = data.draw(populations(len(model_units(anatomy))))
        fast, plain = evaluator.evaluate(population), reference.evaluate(population)
        np.testing.assert_allclose(fast.losses, plain.losses, atol=1e-5, rtol=0)
        np.testing.assert_allclose(fast.sums, plain.sums, atol=1e-4, rtol=0)
        np.testing.assert_array_equal(fast.tokens, plain.tokens)
        assert fast.cost <= plain.cost + 1e-9
        assert fast.work.block_tokens <= plain.work.block_tokens
        assert fast.work.head_tokens <= plain.work.head_tokens


@settings(max_examples=20)
@given(data=st.data())
def test_a_loss_has_the_same_bits_in_any_population_and_order(
    llama: PreTrainedModel, data: st.DataObject
) -> None:
    anatomy = anatomy_of(llama)
    tokens = np.random.default_rng(0).integers(0, llama.config.vocab_size, (3, LENGTH))
    evaluator = PopulationEvaluator(llama, anatomy, tokens)
    population = data.draw(populations(len(anatomy.blocks)))
    together = evaluator.evaluate(population).sums
    order = data.draw(st.permutations(range(len(population))))
    np.testing.assert_array_equal(
        evaluator.evaluate([population[i] for i in order]).sums, together[list(order)]
    )
    for pattern, sums in zip(population, together, strict=True):
        np.testing.assert_array_equal(evaluator.evaluate([pattern]).sums[0], sums)


@given(population=populations(5), stacked=st.booleans())
@settings(max_examples=30)
def test_cost_counts_each_distinct_step_once(
    llama: PreTrainedModel, population: list[Pattern], stacked: bool
) -> None:
    anatomy = anatomy_of(llama)
    tokens = np.zeros((2, LENGTH), dtype=np.int64)
    evaluator = PopulationEvaluator(llama, anatomy, tokens, stacked=stacked)
    steps = {(p[:depth], depth) for p in population for depth in range(5) if p[depth]}
    heads = len(population) * anatomy.head_work
    dense = sum(block.work for block in anatomy.blocks) + anatomy.head_work
    expected = (sum(anatomy.blocks[depth].work for _, depth in steps) + heads) / dense
    assert evaluator.evaluate(population).cost == pytest.approx(expected)


def test_each_distinct_step_is_run_once(llama: PreTrainedModel) -> None:
    anatomy = anatomy_of(llama)
    tokens = np.zeros((2, LENGTH), dtype=np.int64)
    evaluator = PopulationEvaluator(llama, anatomy, tokens)
    runs = [0] * 5
    handles = []
    for block in anatomy.blocks:

        def count(*_: object, index: int = block.index) -> None:
            runs[index] += 1

        handles.append(block.module.register_forward_hook(count))
    evaluator.evaluate([(1, 1, 0, 1, 1), (1, 1, 1, 1, 0), (1, 1, 1, 0, 1)])
    for handle in handles:
        handle.remove()
    # Entering the model calls each block but the last once, without running it.
    assert runs == [1 + 1, 1 + 1, 1 + 1, 1 + 2, 2]


def test_the_model_is_left_as_it_was(any_model: PreTrainedModel) -> None:
    tokens = np.random.default_rng(0).integers(0, any_model.config.vocab_size, (2, LENGTH))
    ids = torch.tensor(tokens)
    with torch.no_grad():
        before = any_model(input_ids=ids, use_cache=False).logits
    anatomy = find_anatomy(any_model)
    rest = (1,) * (len(anatomy.blocks) - 2)
    PopulationEvaluator(any_model, anatomy, tokens).evaluate([(1, 0, *rest), (0, 1, *rest)])
    with torch.no_grad():
        assert torch.equal(any_model(input_ids=ids, use_cache=False).logits, before)


@settings(max_examples=20)
@given(data=st.data())
def test_some_windows_have_the_bits_that_they_have_among_all(
    llama: PreTrainedModel, data: st.DataObject
) -> None:
    anatomy = anatomy_of(llama)
    tokens = np.random.default_rng(0).integers(0, llama.config.vocab_size, (7, LENGTH))
    budget = data.draw(st.sampled_from([1, 100_000, 2**29]))
    fast = PopulationEvaluator(llama, anatomy, tokens, memory_budget=budget)
    population = data.draw(populations(5))
    some = data.draw(st.lists(st.integers(0, 6), min_size=1, unique=True))
    everything, part = fast.evaluate(population), fast.evaluate(population, some)
    np.testing.assert_array_equal(part.sums, everything.sums[:, some])
    np.testing.assert_array_equal(part.tokens, everything.tokens[some])
    assert part.cost <= everything.cost + 1e-9
    plain = ReferenceEvaluator(llama, anatomy, tokens).evaluate(population, some)
    np.testing.assert_allclose(part.losses, plain.losses, atol=1e-5)
