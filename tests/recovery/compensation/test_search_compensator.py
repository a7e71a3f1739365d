"""Compensation of every pattern of a search."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from own_text import own_text
from toy_models import toy_model
from transformers import PreTrainedModel

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.fitness.model.evaluators import Evaluators
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.recovery.compensation.charged_cuts import ChargedCuts
from evop_deap.recovery.compensation.compensate import compensate
from evop_deap.recovery.compensation.search_compensator import SearchCompensator
from evop_deap.runs.pruned_model import loss_of_changes
from evop_deap.space import Pattern, SearchSpace


def patterns_of(length: int, count: int, seed: int = 0) -> list[Pattern]:
    """The dense pattern, and random ones that keep some unit."""
    rng = random.Random(seed)
    drawn = [tuple(int(rng.random() < 0.6) for _ in range(length)) for _ in range(count)]
    return [(1,) * length, *(pattern for pattern in drawn if any(pattern))]


def check_both_ways(model: PreTrainedModel, granularity: str) -> None:
    """Both evaluators agree on compensated patterns, and leave the model as it was."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    anatomy = find_anatomy(model, granularity)
    text = own_text(model, 48)
    few = SearchCompensator(model, anatomy, text[8:])
    patterns = patterns_of(len(anatomy.parts), 3)
    slow = ReferenceEvaluator(model, anatomy, text[:8], compensator=few)
    expected = slow.evaluate(patterns)
    try:
        fast = PopulationEvaluator(model, anatomy, text[:8], compensator=few)
    except UnsupportedModelError:
        pytest.skip("evaluates patterns one by one")
    found = fast.evaluate(patterns)
    np.testing.assert_allclose(found.losses, expected.losses, atol=1e-4)
    # In another order, alone, and from kept states.
    for pattern, sums in zip(reversed(patterns), found.sums[::-1], strict=True):
        np.testing.assert_array_equal(fast.evaluate([pattern]).sums[0], sums)
    plain = PopulationEvaluator(model, anatomy, text[:8]).evaluate(patterns)
    np.testing.assert_array_equal(found.sums[0], plain.sums[0])  # nothing to compensate
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_blocks_of_every_architecture_are_evaluated_compensated(
    any_or_rare_model: PreTrainedModel,
) -> None:
    check_both_ways(any_or_rare_model, "block")


@pytest.mark.parametrize("name", ["llama", "gpt2", "falcon", "gemma2", "mixtral"])
def test_halves_are_evaluated_compensated(name: str) -> None:
    check_both_ways(toy_model(name), "half")


def test_branches_that_are_stacked_have_the_losses_of_those_that_are_not() -> None:
    model = toy_model("llama")
    anatomy, text = find_anatomy(model), own_text(model, 40)
    few = SearchCompensator(model, anatomy, text[8:])
    patterns = patterns_of(len(anatomy.parts), 8)
    one, other = (
        PopulationEvaluator(model, anatomy, text[:8], compensator=few, stacked=stacked)
        for stacked in (False, True)
    )
    np.testing.assert_allclose(
        one.evaluate(patterns).losses, other.evaluate(patterns).losses, atol=1e-5
    )


def test_a_single_cut_has_about_the_loss_that_compensation_leaves() -> None:
    model = toy_model("llama")
    anatomy, text = find_anatomy(model), own_text(model, 200)
    few = SearchCompensator(model, anatomy, text[8:], form="full")
    for unit in range(1, len(anatomy.parts)):
        pattern = tuple(int(i != unit) for i in range(len(anatomy.parts)))
        plain, light = (
            ReferenceEvaluator(model, anatomy, text[:8], compensator=one).evaluate([pattern])
            for one in (None, few)
        )
        made = compensate(model, anatomy, [unit], text[8:], form="full")
        whole = loss_of_changes(model, anatomy, [unit], made.changes, text[:8])
        gain = plain.losses[0] - whole
        assert abs(light.losses[0] - whole) < 0.35 * gain


def test_each_cut_is_charged_once_and_executed_where_it_was_fitted() -> None:
    model = toy_model("llama")
    anatomy, text = find_anatomy(model), own_text(model, 40)
    unit = float(sum(block.work for block in anatomy.blocks) + anatomy.head_work) * text[:8].size
    n = len(anatomy.parts)
    one, other = (1, 0) + (1,) * (n - 2), (1, 0) + (1,) * (n - 3) + (0,)

    def opened() -> tuple[SearchCompensator, ChargedCuts, PopulationEvaluator]:
        few = SearchCompensator(model, anatomy, text[8:])
        plain, again = (
            PopulationEvaluator(model, anatomy, text[:8], compensator=few) for _ in range(2)
        )
        return few, ChargedCuts(plain, few, unit), again

    few, charged, plain = opened()
    (cut,) = few.needed(one)
    (more,) = few.needed(other) - {cut}
    for pattern, new, dense in ((one, cut, few.work), (other, more, 0), (one, None, 0)):
        fit = 0.0 if new is None else few.work_of(new) / unit
        found, bare = charged.evaluate([pattern]), plain.evaluate([pattern])
        assert found.cost - bare.cost == pytest.approx(fit)
        extra = found.work.executed - bare.work.executed
        assert extra == pytest.approx(fit + dense / unit)
    few, resumed, plain = opened()
    resumed.restore([one, other])
    found, bare = resumed.evaluate([one]), plain.evaluate([one])
    assert found.cost == bare.cost
    assert found.work.executed == bare.work.executed
    # Losses that come from elsewhere need no fit.
    few, _, plain = opened()
    known = TabularEvaluator({one: 1.0})
    executed = ChargedCuts(known, few, unit).evaluate([one]).work.executed
    assert executed == known.evaluate([one]).work.executed


def test_losses_with_and_without_compensation_are_not_shared() -> None:
    model = toy_model("llama")
    anatomy, text = find_anatomy(model), own_text(model, 40)
    names = {
        PopulationEvaluator(model, anatomy, text[:8], compensator=one).arithmetic
        for one in (
            None,
            SearchCompensator(model, anatomy, text[8:]),
            SearchCompensator(model, anatomy, text[9:]),
            SearchCompensator(model, anatomy, text[8:], form="map"),
            SearchCompensator(model, anatomy, text[8:], most=2),
        )
    }
    assert len(names) == 5


def test_windows_with_states_that_are_not_finite_are_left_out() -> None:
    model = toy_model("llama")
    anatomy, text = find_anatomy(model), own_text(model, 40)
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = float("nan")
    text[text == 7] = 8
    spoilt = text[8:].copy()
    spoilt[3, 5] = 7
    pattern = (1, 0) + (1,) * (len(anatomy.parts) - 2)

    def loss(windows: NDArray[np.int64] | None) -> float:
        few = None if windows is None else SearchCompensator(model, anatomy, windows)
        evaluator = PopulationEvaluator(model, anatomy, text[:8], compensator=few)
        return float(evaluator.evaluate([pattern]).losses[0])

    assert loss(spoilt) < loss(None)
    assert loss(np.full_like(spoilt, 7)) == loss(None)  # there is nothing to fit on


def test_the_self_check_passes_with_compensation() -> None:
    model = toy_model("llama")
    anatomy, text = find_anatomy(model), own_text(model, 40)
    few = SearchCompensator(model, anatomy, text[8:])
    said: list[str] = []
    made = Evaluators(model, anatomy, "kl", few).fast(
        text[:8],
        SearchSpace(model_units(anatomy), 2),
        rng=random.Random(0),
        on_fallback=said.append,
    )
    assert not said
    assert isinstance(made, PopulationEvaluator)


def test_a_narrow_model_is_compensated_and_restored() -> None:
    model = toy_model("llama").to(torch.bfloat16)
    anatomy, text = find_anatomy(model), own_text(model, 40)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    few = SearchCompensator(model, anatomy, text[8:])
    pattern = (1, 0) + (1,) * (len(anatomy.parts) - 2)
    found = PopulationEvaluator(model, anatomy, text[:8], compensator=few).evaluate([pattern])
    plain = PopulationEvaluator(model, anatomy, text[:8]).evaluate([pattern])
    assert found.losses[0] < plain.losses[0]
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
