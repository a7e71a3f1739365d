"""The fast evaluator where it reproduces the model's own loss or divergence, else the plain one."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from toy_models import anatomy_of, toy_model
from transformers import PreTrainedModel

from evop_deap.fitness.model.evaluators import Evaluators
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.self_check import checked_evaluator
from evop_deap.space import SearchSpace, Unit

Checked = PopulationEvaluator | ReferenceEvaluator

both_fitnesses = pytest.mark.parametrize("fitness", ["ce", "kl"])


def check(model: PreTrainedModel, fitness: str = "ce") -> tuple[Checked, list[str]]:
    anatomy = anatomy_of(model)
    tokens = np.random.default_rng(0).integers(0, model.config.vocab_size, (3, 12))
    space = SearchSpace(tuple(Unit(b.name, 1, 1) for b in anatomy.blocks), n_drop=1)
    said: list[str] = []
    evaluator = checked_evaluator(
        model,
        anatomy,
        tokens,
        [space.dense, space.random_pattern(random.Random(0))],
        fitness=fitness,
        on_fallback=said.append,
    )
    return evaluator, said


def with_last_block(changed: Callable[[torch.Tensor, int], torch.Tensor]) -> PreTrainedModel:
    """A toy model that changes the output of its last block, by the calls since the embedding.

    A forward pass embeds its tokens each time, a walk over many patterns embeds them once.
    """
    model = toy_model("llama")
    block, calls = model.model.layers[-1], [0]
    plain = block.forward

    def forward(hidden_states: torch.Tensor, **kwargs: object) -> torch.Tensor:
        calls[0] += 1
        return changed(plain(hidden_states, **kwargs), calls[0])

    model.model.embed_tokens.register_forward_hook(lambda *_: calls.__setitem__(0, 0))
    block.forward = forward
    return model


@both_fitnesses
def test_a_model_whose_fast_losses_are_right_gets_the_population_evaluator(
    any_model: PreTrainedModel, fitness: str
) -> None:
    evaluator, said = check(any_model, fitness)
    assert isinstance(evaluator, PopulationEvaluator), said
    assert said == []
    if fitness == "kl":
        dense = (1,) * len(anatomy_of(any_model).blocks)
        assert abs(evaluator.evaluate([dense]).losses[0]) < 1e-6


def test_rounding_in_low_precision_is_no_reason_to_fall_back() -> None:
    evaluator, said = check(toy_model("llama").to(torch.bfloat16))
    assert isinstance(evaluator, PopulationEvaluator), said


@pytest.mark.parametrize(
    ("products", "kind"), [("highest", ReferenceEvaluator), ("high", PopulationEvaluator)]
)
def test_products_that_the_user_has_made_coarser_may_round_as_low_precision_does(
    products: str, kind: type[Checked]
) -> None:
    def changed(output: torch.Tensor, call: int) -> torch.Tensor:
        # Off by a little in the walk, as TF32 is on tensors of another shape.
        return output + 0.02 * (call == 1) * output.roll(1, dims=-1)

    before, within = torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul
    finer = within.fp32_precision  # the first does not restore it
    torch.set_float32_matmul_precision(products)
    try:
        evaluator, said = check(with_last_block(changed))
    finally:
        torch.set_float32_matmul_precision(before)
        within.fp32_precision = finer
    assert isinstance(evaluator, kind), said


@both_fitnesses
def test_a_model_that_hides_work_from_its_modules_falls_back_and_says_so(fitness: str) -> None:
    model = toy_model("llama")
    plain = type(model).forward

    def forward(self: PreTrainedModel, **inputs: object) -> object:
        output = plain(self, **inputs)
        output.logits = output.logits.roll(1, dims=-1)
        return output

    model.__class__ = type("Odd", (type(model),), {"forward": forward})
    evaluator, said = check(model, fitness)
    assert isinstance(evaluator, ReferenceEvaluator)
    assert len(said) == 1
    assert "in a way not known here" in said[0]
    if fitness == "kl":
        dense, pruned = evaluator.evaluate([(1, 1, 1, 1, 1), (1, 0, 1, 1, 1)]).losses.tolist()
        assert dense == 0.0
        assert pruned > 1e-3


@both_fitnesses
def test_a_model_whose_blocks_depend_on_more_than_their_arguments_falls_back_and_says_so(
    fitness: str,
) -> None:
    def changed(output: torch.Tensor, call: int) -> torch.Tensor:
        return output.roll(1, dims=-1) if call == 1 else output

    evaluator, said = check(with_last_block(changed), fitness)
    assert isinstance(evaluator, ReferenceEvaluator)
    assert "differ from the model's own" in said[0]


def needs_its_first_block(model: PreTrainedModel) -> PreTrainedModel:
    """The model, made to compute NaN without its first block, as an overflow in float16 does."""
    first, last = model.model.layers[0], model.model.layers[-1]
    mark, before = torch.zeros(model.config.hidden_size), (first.forward, last.forward)
    mark[0] = 1000.0

    def marked(hidden_states: torch.Tensor, **kwargs: object) -> torch.Tensor:
        return before[0](hidden_states, **kwargs) + mark

    def needing(hidden_states: torch.Tensor, **kwargs: object) -> torch.Tensor:
        output = before[1](hidden_states, **kwargs)
        return output.where(hidden_states[..., :1] > 500.0, torch.nan)

    first.forward, last.forward = marked, needing
    return model


@pytest.mark.filterwarnings("error")
@both_fitnesses
def test_a_pattern_without_a_finite_loss_either_way_is_no_difference(fitness: str) -> None:
    model = needs_its_first_block(toy_model("llama"))
    tokens = np.random.default_rng(0).integers(0, model.config.vocab_size, (3, 12))
    dense, broken = (1, 1, 1, 1, 1), (0, 1, 1, 1, 1)
    said: list[str] = []
    evaluator = checked_evaluator(
        model,
        anatomy_of(model),
        tokens,
        [dense, broken],
        fitness=fitness,
        on_fallback=said.append,
    )
    assert isinstance(evaluator, PopulationEvaluator), said
    assert np.isfinite(evaluator.evaluate([dense, broken]).losses).tolist() == [True, False]
    few = Evaluators(model, anatomy_of(model), fitness)
    found = few.evaluate(tokens, [broken, dense], on_fallback=said.append)
    assert np.isfinite(found.losses).tolist() == [False, True]
    assert said == []


@both_fitnesses
def test_a_loss_that_is_finite_one_way_alone_is_a_difference(fitness: str) -> None:
    def changed(output: torch.Tensor, call: int) -> torch.Tensor:
        return output * torch.nan if call == 2 else output  # in the walk's second pattern alone

    evaluator, said = check(with_last_block(changed), fitness)
    assert isinstance(evaluator, ReferenceEvaluator)
    assert "differ from the model's own" in said[0]


def a_few(model: PreTrainedModel) -> tuple[Evaluators, np.ndarray, list[tuple[int, ...]]]:
    tokens = np.random.default_rng(1).integers(0, model.config.vocab_size, (5, 12))
    count = len(anatomy_of(model).blocks)
    patterns = [tuple(int(i != gone) for i in range(count)) for gone in (1, 2)]
    return Evaluators(model, anatomy_of(model)), tokens, patterns


def test_a_few_patterns_on_other_windows_have_the_losses_of_plain_passes(
    any_model: PreTrainedModel,
) -> None:
    evaluators, tokens, patterns = a_few(any_model)
    said: list[str] = []
    found = evaluators.evaluate(tokens, patterns, on_fallback=said.append)
    expected = evaluators.plain(tokens).evaluate(patterns)
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-5)
    assert said == []


def test_a_few_patterns_run_one_by_one_where_the_check_of_one_loss_fails() -> None:
    model = toy_model("llama")
    evaluators, tokens, patterns = a_few(model)
    expected = evaluators.plain(tokens).evaluate(patterns)
    block, runs = model.model.layers[-1], [0]
    plain, said = block.forward, list[str]()

    def forward(hidden_states: torch.Tensor, **kwargs: object) -> torch.Tensor:
        output = plain(hidden_states, **kwargs)
        runs[0] += len(hidden_states) == len(tokens)
        in_the_walk = len(hidden_states) == len(tokens) and runs[0] <= len(patterns)
        return output.roll(1, dims=-1) if in_the_walk else output

    block.forward = forward
    found = evaluators.evaluate(tokens, patterns, on_fallback=said.append)
    assert len(said) == 1
    assert "a loss differs from the model's own by" in said[0]
    np.testing.assert_array_equal(found.sums, expected.sums)


def test_a_few_patterns_keep_to_the_budget_of_memory() -> None:
    evaluators, tokens, patterns = a_few(toy_model("llama"))
    state = 12 * 32 * 4  # bytes of one window's hidden state
    roomy = evaluators.evaluate(tokens, patterns)
    tight = evaluators.evaluate(tokens, patterns, memory_budget=4 * state)
    assert tight.work.bytes_held <= 4 * state < roomy.work.bytes_held
    np.testing.assert_allclose(tight.sums, roomy.sums, rtol=1e-6)
