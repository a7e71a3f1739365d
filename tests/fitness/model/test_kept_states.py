"""Hidden states that wait for the next generation: which, how many, and that they change no bit."""

from __future__ import annotations

import itertools
import json
import weakref
from collections import OrderedDict
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy_models import toy_model
from transformers import PreTrainedModel

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.racing import Racing, race
from evop_deap.evolution.strategies import Choice
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.model.kept_states import KeptStates, Prefix
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.protocol import Evaluation
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.space import Pattern

LENGTH = 8
TOKENS = np.random.default_rng(0).integers(3, 80, (5, LENGTH))
N_BLOCKS = 5


def state(value: float = 0.0) -> torch.Tensor:
    return torch.full((1, 2, 3), value)


# The store itself.


def test_the_least_recently_useful_state_goes_first() -> None:
    kept = KeptStates(capacity=2)
    kept.put(0, (0,), state())
    kept.put(0, (1,), state())
    kept.get(0, (0,))
    kept.put(0, (2,), state())
    assert kept.names == [(0, [(0,), (2,)])]
    kept.put(0, (0,), state())
    kept.put(0, (3,), state())
    assert kept.names == [(0, [(0,), (3,)])]


def test_nothing_is_kept_where_there_is_no_room() -> None:
    kept = KeptStates(capacity=0)
    kept.put(0, (0, 1), state())
    assert (len(kept), kept.names, kept.deepest(0, (0, 1))) == (0, [], ())


def test_each_group_has_room_of_its_own() -> None:
    kept = KeptStates(capacity=1)
    for group in (3, 0):
        kept.put(group, (0,), state(group))
        kept.put(group, (1,), state(group))
    assert len(kept) == 2
    assert kept.names == [(3, [(1,)]), (0, [(1,)])]
    assert kept.deepest(1, (1,)) == ()
    assert float(kept.get(3, (1,))[0, 0, 0]) == 3


@pytest.mark.parametrize(
    ("wanted", "deepest"),
    [
        ((0, 1, 2, 4), (0, 1, 2)),
        ((0, 1, 2), (0, 1, 2)),
        ((0, 1, 3), (0, 1)),
        ((0, 2), ()),
        ((1,), ()),
        ((), ()),
        ((3, 4), (3,)),
    ],
)
def test_the_deepest_state_is_that_of_the_longest_prefix(wanted: Prefix, deepest: Prefix) -> None:
    kept = KeptStates(capacity=9)
    for prefix in ((0, 1, 2), (0, 1), (3,)):
        kept.put(0, prefix, state())
    assert kept.deepest(0, wanted) == deepest
    assert kept.names == [(0, [(0, 1, 2), (0, 1), (3,)])]


def test_a_slice_is_cloned_so_that_it_does_not_hold_what_it_is_a_slice_of() -> None:
    kept = KeptStates(capacity=9)
    stacked = torch.arange(60.0).view(10, 2, 3)
    first, *_ = stacked.split(1)
    kept.put(0, (0,), first)
    held = kept.get(0, (0,))
    assert held.untyped_storage().nbytes() == 6 * 4
    assert torch.equal(held, first)
    whole = state(2.0)
    kept.put(0, (1,), whole)
    assert kept.get(0, (1,)).data_ptr() == whole.data_ptr()


def test_a_state_that_is_there_is_not_taken_again() -> None:
    kept = KeptStates(capacity=9)
    kept.put(0, (0,), state(1.0))
    kept.put(0, (0,), state(2.0))
    assert float(kept.get(0, (0,))[0, 0, 0]) == 1.0


def test_a_state_restored_by_name_is_there_in_its_order_and_filled_when_it_is_known() -> None:
    kept = KeptStates(capacity=2)
    kept.restore([(1, [(0, 2), (0,)])])
    assert kept.names == [(1, [(0, 2), (0,)])]
    assert (len(kept), kept.deepest(1, (0, 2, 3)), kept.get(1, (0, 2))) == (2, (0, 2), None)
    kept.put(1, (0,), state(5.0))
    assert float(kept.get(1, (0,))[0, 0, 0]) == 5.0
    kept.put(1, (4,), state())
    assert kept.names == [(1, [(0,), (4,)])]


PREFIXES = st.lists(st.integers(0, 4), max_size=4, unique=True).map(lambda p: tuple(sorted(p)))
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "get"]), st.integers(0, 1), PREFIXES.filter(bool)),
    max_size=30,
)


@given(steps=STEPS, more=STEPS, capacity=st.integers(0, 4))
def test_the_store_is_a_plain_lru_and_restored_by_its_names_goes_on_as_one(
    steps: list[tuple[str, int, Prefix]], more: list[tuple[str, int, Prefix]], capacity: int
) -> None:
    kept, model = KeptStates(capacity), [OrderedDict[Prefix, None](), OrderedDict[Prefix, None]()]

    def do(kept: KeptStates, action: str, group: int, prefix: Prefix) -> None:
        if action == "put":
            kept.put(group, prefix, state())
        elif kept.deepest(group, prefix) == prefix:
            kept.get(group, prefix)

    for action, group, prefix in steps:
        do(kept, action, group, prefix)
        if prefix in model[group] or (action == "put" and capacity):
            model[group][prefix] = None
            model[group].move_to_end(prefix)
        while len(model[group]) > capacity:
            model[group].popitem(last=False)
        assert len(kept) == sum(map(len, model))
    assert {group: list(names) for group, names in enumerate(model) if names} == dict(kept.names)
    restored = KeptStates(capacity)
    restored.restore(json.loads(json.dumps(kept.names)))
    assert restored.names == kept.names
    for step in more:
        do(kept, *step)
        do(restored, *step)
    assert dict(restored.names) == dict(kept.names)


# The evaluator that keeps them.


def populations(n_blocks: int = N_BLOCKS, most: int = 8) -> st.SearchStrategy[list[Pattern]]:
    bit = st.sampled_from([0, 1])
    return st.lists(st.tuples(*[bit] * n_blocks).filter(any), min_size=1, max_size=most)


@pytest.fixture(scope="module")
def anatomy(llama: PreTrainedModel) -> Anatomy:
    return find_anatomy(llama)


def evaluator_of(
    model: PreTrainedModel,
    anatomy: Anatomy,
    *,
    states: float = 10_000,
    fitness: str = "ce",
    windows_at_once: int | None = None,
    stacked: bool = False,
    tokens: NDArray[np.int64] = TOKENS,
) -> PopulationEvaluator:
    """One whose memory holds so many hidden states of one window."""
    state_bytes = 4 * LENGTH * model.config.hidden_size
    return PopulationEvaluator(
        model,
        anatomy,
        tokens,
        fitness=fitness,
        memory_budget=int(states * state_bytes),
        windows_at_once=windows_at_once,
        stacked=stacked,
    )


def assert_same(found: Evaluation, expected: Evaluation) -> None:
    np.testing.assert_array_equal(found.sums, expected.sums)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_array_equal(found.costs, expected.costs)
    assert found.work == expected.work


PARENTS: list[Pattern] = [(1, 1, 0, 1, 1), (1, 1, 1, 0, 1), (1, 1, 1, 1, 0)]
CHILDREN: list[Pattern] = [(1, 1, 0, 0, 1), (1, 1, 0, 1, 0), (1, 1, 1, 0, 0)]
EVERY: list[Pattern] = [p for p in itertools.product((0, 1), repeat=N_BLOCKS) if any(p)]


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("fitness", ["ce", "kl"])
@pytest.mark.parametrize("windows_at_once", [1, 2, None])
def test_children_start_where_their_parents_parted(
    llama: PreTrainedModel,
    anatomy: Anatomy,
    windows_at_once: int | None,
    fitness: str,
    stacked: bool,
) -> None:
    settled, fresh = (
        evaluator_of(
            llama, anatomy, fitness=fitness, windows_at_once=windows_at_once, stacked=stacked
        )
        for _ in range(2)
    )
    settled.evaluate(PARENTS)
    found, expected = settled.evaluate(CHILDREN), fresh.evaluate(CHILDREN)
    np.testing.assert_allclose(found.sums, expected.sums, atol=0 if not stacked else 1e-4, rtol=0)
    # The parents part behind (0, 1) and (0, 1, 2): what remains is 4 and 3, once each.
    assert expected.work.block_tokens == 5 * TOKENS.size
    assert found.work.block_tokens == 2 * TOKENS.size
    assert found.work.head_tokens == expected.work.head_tokens
    assert found.cost < expected.cost


@settings(max_examples=30)
@given(
    generations=st.lists(populations(), min_size=2, max_size=4),
    fitness=st.sampled_from(["ce", "kl"]),
    states=st.floats(0, 200) | st.sampled_from([40, 100, 260, 10_000]),
    windows_at_once=st.sampled_from([None, 1, 2]),
)
def test_later_generations_have_the_bits_of_a_fresh_evaluator_for_no_more_work(
    llama: PreTrainedModel,
    anatomy: Anatomy,
    generations: list[list[Pattern]],
    fitness: str,
    states: float,
    windows_at_once: int | None,
) -> None:
    def make() -> PopulationEvaluator:
        return evaluator_of(
            llama, anatomy, states=states, fitness=fitness, windows_at_once=windows_at_once
        )

    settled = make()
    for population in generations:
        fresh = make()
        found, expected = settled.evaluate(population), fresh.evaluate(population)
        np.testing.assert_array_equal(found.sums, expected.sums)
        assert found.work.block_tokens <= expected.work.block_tokens
        assert found.work.head_tokens == expected.work.head_tokens
        assert found.cost <= expected.cost + 1e-9
        assert all(len(names) <= settled.kept.capacity for _, names in settled.kept.names)
    for _, names in settled.kept.names:
        kept = [{i for i, keep in enumerate(p) if keep} for g in generations for p in g]
        for prefix in names:
            parted = [
                blocks for blocks in kept if {b for b in blocks if b <= prefix[-1]} == set(prefix)
            ]
            assert len(parted) > 1


@pytest.mark.parametrize("windows_at_once", [1, 2, None])
@pytest.mark.parametrize("states", [0, 1, 14, 40, 100, 400, 100_000])
def test_no_more_states_are_kept_than_fit_in_half_the_memory(
    llama: PreTrainedModel, anatomy: Anatomy, states: int, windows_at_once: int | None
) -> None:
    evaluator = evaluator_of(llama, anatomy, states=states, windows_at_once=windows_at_once)
    evaluator.evaluate(EVERY)
    assert all(len(names) <= evaluator.kept.capacity for _, names in evaluator.kept.names)
    assert evaluator.batches is not None
    assert len(evaluator.kept) * max(evaluator.batches) <= states / 2
    if states == 100_000:
        # Every prefix of the blocks before the last, but for the empty one.
        assert {len(names) for _, names in evaluator.kept.names} == {2 ** (N_BLOCKS - 1) - 1}


@pytest.mark.parametrize("fitness", ["ce", pytest.param("kl", marks=pytest.mark.slow)])
@settings(max_examples=30)
@given(
    generations=st.lists(populations(), min_size=2, max_size=5),
    cut=st.integers(1, 4),
    states=st.floats(20, 200) | st.just(10_000),
    windows_at_once=st.sampled_from([None, 1, 2]),
)
def test_an_evaluator_restored_by_names_goes_on_like_one_that_was_never_interrupted(
    llama: PreTrainedModel,
    anatomy: Anatomy,
    fitness: str,
    generations: list[list[Pattern]],
    cut: int,
    states: float,
    windows_at_once: int | None,
) -> None:
    def make() -> PopulationEvaluator:
        return evaluator_of(
            llama, anatomy, states=states, fitness=fitness, windows_at_once=windows_at_once
        )

    whole, later = make(), make()
    for population in generations[:cut]:
        whole.evaluate(population)
    later.kept.restore(json.loads(json.dumps(whole.kept.names)))
    for population in generations[cut:]:
        assert_same(later.evaluate(population), whole.evaluate(population))
        assert dict(later.kept.names) == dict(whole.kept.names)


def test_a_state_restored_by_name_is_computed_once() -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model)
    whole, later = (evaluator_of(model, anatomy) for _ in range(2))
    whole.evaluate(PARENTS)
    later.kept.restore(whole.kept.names)
    runs = 0

    def count(*_: object) -> None:
        nonlocal runs
        runs += 1

    # Entering the model calls each block but the last once, without running it.
    for layer in model.model.layers:
        layer.register_forward_hook(count)
    counts = []
    for evaluator in (whole, later, whole, later):
        evaluator.evaluate(CHILDREN)
        counts.append(runs - 4)
        runs = 0
    # Each state kept, of the blocks 0 and 1 and of 0 to 2, is computed from the entrance.
    assert counts == [2, 2 + 2 + 3, 2, 2]


def test_a_stacked_evaluator_restored_by_names_does_the_same_work(
    llama: PreTrainedModel, anatomy: Anatomy
) -> None:
    whole, later = (evaluator_of(llama, anatomy, stacked=True) for _ in range(2))
    whole.evaluate(PARENTS)
    later.kept.restore(whole.kept.names)
    found, expected = later.evaluate(CHILDREN), whole.evaluate(CHILDREN)
    np.testing.assert_allclose(found.losses, expected.losses, atol=1e-5)
    np.testing.assert_array_equal(found.costs, expected.costs)
    assert found.work == expected.work
    assert later.kept.names == whole.kept.names


def test_stacked_states_are_kept_without_the_stack(
    llama: PreTrainedModel, anatomy: Anatomy
) -> None:
    evaluator = evaluator_of(llama, anatomy, stacked=True)
    evaluator.evaluate(PARENTS)
    ((_, names),) = evaluator.kept.names
    assert names
    for prefix in names:
        held = evaluator.kept.get(0, prefix)
        assert held.untyped_storage().nbytes() == held.numel() * held.element_size()


# Depth first, a state waits at each depth beside the entrance and what is judged together.
LEAST = N_BLOCKS + 1 + 8


def budgets() -> st.SearchStrategy[float]:
    """Hidden states that are enough for a walk over one window and more."""
    return st.floats(LEAST, 200) | st.sampled_from([LEAST, 2 * LEAST, 500, 2000])


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("fitness", ["ce", pytest.param("kl", marks=pytest.mark.slow)])
@settings(max_examples=30)
@given(
    generations=st.lists(populations(most=31), min_size=1, max_size=3),
    windows_at_once=st.sampled_from([None, 1, 2]),
    states=budgets(),
)
def test_what_is_said_to_be_held_is_within_the_memory_budget(
    llama: PreTrainedModel,
    anatomy: Anatomy,
    stacked: bool,
    fitness: str,
    generations: list[list[Pattern]],
    windows_at_once: int | None,
    states: float,
) -> None:
    evaluator = evaluator_of(
        llama,
        anatomy,
        states=states,
        fitness=fitness,
        windows_at_once=windows_at_once,
        stacked=stacked,
    )
    budget = int(states * 4 * LENGTH * llama.config.hidden_size)
    for population in generations:
        assert 0 < evaluator.evaluate(population).work.bytes_held <= budget


@pytest.mark.parametrize("stacked", [False, True])
def test_a_state_that_is_only_read_is_held(
    llama: PreTrainedModel, anatomy: Anatomy, stacked: bool
) -> None:
    evaluator = evaluator_of(llama, anatomy, stacked=stacked)
    evaluator.evaluate([(0, 1, 1, 0, 0), (0, 1, 1, 0, 1)])
    work = evaluator.evaluate([(0, 1, 1, 0, 0)]).work
    assert work.block_tokens == 0
    assert work.bytes_held > 0


@pytest.mark.parametrize("fitness", ["ce", "kl"])
@pytest.mark.parametrize("windows", [1, 12, 40])
def test_a_larger_calibration_set_is_within_the_memory_budget_too(
    llama: PreTrainedModel, anatomy: Anatomy, windows: int, fitness: str
) -> None:
    tokens = np.random.default_rng(1).integers(3, 80, (windows, LENGTH))
    # To tell how far predictions have moved, the dense model's are held beside the walk.
    states = 2 * LEAST + (windows if fitness == "kl" else 0)
    evaluator = evaluator_of(llama, anatomy, states=states, fitness=fitness, tokens=tokens)
    budget = states * 4 * LENGTH * llama.config.hidden_size
    assert evaluator.evaluate(EVERY).work.bytes_held <= budget


def test_the_states_of_the_dense_model_count_as_held(
    llama: PreTrainedModel, anatomy: Anatomy
) -> None:
    by_loss, by_divergence = (
        evaluator_of(llama, anatomy, fitness=fitness, windows_at_once=1).evaluate(EVERY)
        for fitness in ("ce", "kl")
    )
    held = by_divergence.work.bytes_held - by_loss.work.bytes_held
    assert held == 4 * TOKENS.size * llama.config.hidden_size


class Alive:
    """Notes the most bytes that outputs of blocks took up at a time."""

    def __init__(self) -> None:
        self.most = 0
        self._outputs: list[weakref.ref[torch.Tensor]] = []

    def __call__(self, module: object, inputs: object, output: torch.Tensor) -> None:
        self._outputs = [ref for ref in self._outputs if ref() is not None]
        self._outputs.append(weakref.ref(output))
        held = [tensor.untyped_storage() for ref in self._outputs if (tensor := ref()) is not None]
        self.most = max(self.most, sum({s.data_ptr(): s.nbytes() for s in held}.values()))


@pytest.mark.parametrize("fitness", ["ce", "kl"])
@pytest.mark.parametrize("windows_at_once", [1, 2, None])
@pytest.mark.parametrize("states", [LEAST, 2 * LEAST, 60, 200])
def test_what_is_really_held_is_within_the_memory_budget(
    llama: PreTrainedModel, anatomy: Anatomy, states: int, windows_at_once: int | None, fitness: str
) -> None:
    alive = Alive()
    evaluator = evaluator_of(
        llama, anatomy, states=states, fitness=fitness, windows_at_once=windows_at_once
    )
    with ExitStack() as hooks:
        for layer in llama.model.layers:
            hooks.callback(layer.register_forward_hook(alive).remove)
        for population in (EVERY[::2], EVERY, EVERY[::3]):
            evaluator.evaluate(population)
    assert 0 < alive.most <= states * 4 * LENGTH * llama.config.hidden_size


# A race over it.


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("fitness", ["ce", "kl"])
def test_a_race_runs_no_window_that_no_rung_asked_for_and_a_full_evaluation_no_window_again(
    llama: PreTrainedModel, anatomy: Anatomy, fitness: str, step: int
) -> None:
    plain = evaluator_of(llama, anatomy, fitness=fitness, windows_at_once=step)
    cached = CachedEvaluator(plain)
    population = [
        Genome(pattern, loss=loss)
        for pattern, loss in zip(PARENTS, cached.evaluate(PARENTS).losses.tolist(), strict=True)
    ]
    population.sort(key=lambda genome: genome.loss)
    children = list(map(Genome, [*CHILDREN, (0, 1, 1, 1, 0), (0, 0, 1, 1, 1), (1, 0, 1, 1, 0)]))
    choice: Choice = race(
        children, population, evaluator=cached, racing=Racing(step), size=len(population)
    )
    seen = {c.pattern: int(np.isfinite(cached.rows[c.pattern]).sum()) for c in children}
    heads = sum(seen.values()) * LENGTH
    if fitness == "ce":
        assert choice.work.head_tokens == heads
    else:
        assert heads < choice.work.head_tokens <= 2 * heads
    full = cached.evaluate([genome.pattern for genome in choice.chosen])
    expected = evaluator_of(llama, anatomy, fitness=fitness, windows_at_once=step).evaluate(
        [genome.pattern for genome in choice.chosen]
    )
    np.testing.assert_array_equal(full.sums, expected.sums)
    if fitness == "ce":
        left = sum(len(TOKENS) - seen[genome.pattern] for genome in choice.chosen)
        assert full.work.head_tokens == left * LENGTH


def test_a_model_of_several_formats_keeps_the_states_it_computes() -> None:
    model = toy_model("llama").to(torch.bfloat16)
    evaluator = PopulationEvaluator(model, find_anatomy(model), TOKENS, stacked=False)
    before = evaluator.evaluate(PARENTS)
    ((_, names),) = evaluator.kept.names
    assert evaluator.kept.get(0, names[0]).dtype == torch.bfloat16
    np.testing.assert_array_equal(evaluator.evaluate(PARENTS).sums, before.sums)
