"""Heuristics that look into a model, against hand computations on a toy Llama."""

from __future__ import annotations

import copy
import itertools
import math
import random

import numpy as np
import pytest
import torch
from toy_models import toy_tokens
from transformers import PreTrainedModel
from two_devices import FIRST, SECOND, apart

from evop_deap.base.errors import InputError
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.heuristics import METHODS, ModelParts, Pick, Task
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.loading.spread import spread
from evop_deap.space import SearchSpace, Unit, dropped_units
from evop_deap.space.allowances import Allowance

WINDOWS = toy_tokens(rows=3, length=12)
LOOKING = [n for n, m in METHODS.items() if m.needs_model and "block" in m.granularities]


@pytest.fixture(scope="module")
def anatomy(llama: PreTrainedModel) -> Anatomy:
    return find_anatomy(llama)


@pytest.fixture(scope="module")
def states(llama: PreTrainedModel) -> list[torch.Tensor]:
    """The hidden state before each block and behind the last: (windows, length, width) each."""
    seen: list[torch.Tensor] = []
    own = copy.deepcopy(llama)  # transformers leaves its hooks on it
    find_anatomy(own).blocks[-1].module.register_forward_hook(
        lambda module, args, output: seen.append(output[0] if isinstance(output, tuple) else output)
    )
    with torch.no_grad():
        hidden = own(WINDOWS, output_hidden_states=True, use_cache=False).hidden_states
    return [*hidden[:-1], *seen]


def pick_of(
    name: str,
    model: PreTrainedModel,
    anatomy: Anatomy,
    n_drop: int = 2,
    protected: frozenset[int] = frozenset(),
) -> Pick:
    units = tuple(Unit(str(b.index), b.parameters, b.work) for b in anatomy.blocks)
    parts = ModelParts(model, anatomy, WINDOWS.numpy())
    space = SearchSpace(units, n_drop, protected)
    return METHODS[name](Task(space, TabularEvaluator({}), random.Random(0), parts=parts))


def lowest_two(scores: list[float]) -> tuple[int, ...]:
    return tuple(sorted(sorted(range(len(scores)), key=scores.__getitem__)[:2]))


def check(pick: Pick, expected: list[float]) -> None:
    np.testing.assert_allclose(pick.scores, expected, rtol=1e-4)
    assert dropped_units(pick.pattern) == lowest_two(expected)


def test_block_influence_is_one_minus_the_mean_cosine(
    llama: PreTrainedModel, anatomy: Anatomy, states: list[torch.Tensor]
) -> None:
    pick = pick_of("block-influence", llama, anatomy)
    expected = [
        1 - float(torch.cosine_similarity(x, y, dim=-1).mean())
        for x, y in itertools.pairwise(states)
    ]
    check(pick, expected)
    assert pick.cost == 1.0


def test_relative_magnitude_is_what_a_block_adds_beside_what_comes_out(
    llama: PreTrainedModel, anatomy: Anatomy, states: list[torch.Tensor]
) -> None:
    expected = [
        float(((y - x).norm(dim=-1) / y.norm(dim=-1)).mean()) for x, y in itertools.pairwise(states)
    ]
    check(pick_of("relative-magnitude", llama, anatomy), expected)


def test_magnitude_is_the_sum_of_absolute_weights_and_costs_nothing(
    llama: PreTrainedModel, anatomy: Anatomy
) -> None:
    pick = pick_of("magnitude", llama, anatomy)
    expected = [
        sum(float(p.detach().abs().sum()) for p in block.module.parameters())
        for block in anatomy.blocks
    ]
    check(pick, expected)
    assert pick.cost == 0.0


def test_taylor_is_the_sum_of_weight_times_gradient_of_the_mean_loss(
    llama: PreTrainedModel, anatomy: Anatomy
) -> None:
    pick = pick_of("taylor", llama, anatomy)
    parameters = [p for block in anatomy.blocks for p in block.module.parameters()]
    loss = llama(input_ids=WINDOWS, labels=WINDOWS, use_cache=False).loss
    gradients = dict(zip(parameters, torch.autograd.grad(loss, parameters), strict=True))
    expected = [
        sum(float((p * gradients[p]).detach().abs().sum()) for p in block.module.parameters())
        for block in anatomy.blocks
    ]
    check(pick, expected)
    assert pick.cost == 3.0


def test_taylor_leaves_the_gradients_of_the_model_as_they_were(
    llama: PreTrainedModel, anatomy: Anatomy
) -> None:
    parameter = next(llama.parameters())
    parameter.requires_grad_(False)
    try:
        pick_of("taylor", llama, anatomy)
        assert not parameter.requires_grad
        assert all(p.grad is None for p in llama.parameters())
    finally:
        parameter.requires_grad_(True)


def test_the_angular_window_is_the_run_that_turns_the_last_token_least(
    llama: PreTrainedModel, anatomy: Anatomy, states: list[torch.Tensor]
) -> None:
    def angle(first: int, behind: int) -> float:
        x, y = states[first][:, -1], states[behind][:, -1]
        return float((torch.cosine_similarity(x, y, dim=-1).arccos() / math.pi).mean())

    for n_drop in (1, 2, 3):
        starts = range(len(anatomy.blocks) - n_drop + 1)
        best = min(starts, key=lambda first: angle(first, first + n_drop))
        pick = pick_of("angular", llama, anatomy, n_drop)
        assert dropped_units(pick.pattern) == tuple(range(best, best + n_drop))


def test_a_window_that_protection_leaves_no_room_for_is_refused(
    llama: PreTrainedModel, anatomy: Anatomy
) -> None:
    with pytest.raises(InputError, match="no run of blocks that may go fills the budget"):
        pick_of("angular", llama, anatomy, 2, frozenset({1, 3}))


@pytest.mark.parametrize(
    ("name", "weights", "limit"),
    [
        ("angular", (5, 1, 5, 5, 1), 7),  # beside each run that fits, a light block fits as well
        ("laco", (1, 5, 5, 5, 5), 6),  # the first block, into which others are merged, would fit
    ],
)
def test_a_budget_that_no_run_fills_is_not_laid_to_protection_alone(
    name: str, weights: tuple[int, ...], limit: int, llama: PreTrainedModel, anatomy: Anatomy
) -> None:
    units = tuple(Unit(str(i), weight, 1) for i, weight in enumerate(weights))
    space = SearchSpace.within(units, (Allowance("parameters", weights, limit),))
    parts = ModelParts(llama, anatomy, WINDOWS.numpy())
    task = Task(space, TabularEvaluator({}), random.Random(0), parts=parts)
    with pytest.raises(InputError, match="fills? the budget: .* another `sparsity` or `budget`"):
        METHODS[name](task)


@pytest.mark.parametrize("name", LOOKING)
def test_looking_at_a_model_leaves_it_as_it_was(
    name: str, llama: PreTrainedModel, anatomy: Anatomy
) -> None:
    hooks = [len(module._forward_hooks) for module in llama.modules()]
    weights = [parameter.clone() for parameter in llama.parameters()]
    first, second = (pick_of(name, llama, anatomy) for _ in range(2))
    assert first.scores == second.scores
    assert [len(module._forward_hooks) for module in llama.modules()] == hooks
    assert all(torch.equal(a, b) for a, b in zip(weights, llama.parameters(), strict=True))


@pytest.mark.parametrize("name", LOOKING)
def test_protected_blocks_stay(name: str, llama: PreTrainedModel, anatomy: Anatomy) -> None:
    pick = pick_of(name, llama, anatomy, 2, frozenset({0, 4}))
    assert {0, 4}.isdisjoint(dropped_units(pick.pattern))


@pytest.mark.parametrize("name", LOOKING)
def test_a_model_on_two_devices_is_picked_from_alike(
    name: str, llama: PreTrainedModel, anatomy: Anatomy
) -> None:
    model = copy.deepcopy(llama)
    expected = pick_of(name, llama, anatomy)
    with apart():
        spread(model, [FIRST, SECOND])
        found = pick_of(name, model, find_anatomy(model))
    assert found.pattern == expected.pattern
    assert found.scores == expected.scores
