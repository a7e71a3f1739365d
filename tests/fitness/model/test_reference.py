from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_models import anatomy_of
from transformers import PreTrainedModel

from evop_deap.fitness.model import reference
from evop_deap.fitness.model.logit_losses import window_sums
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.models.surgery.repacking import without_blocks
from evop_deap.space import dropped_units


def windows(model: PreTrainedModel, count: int = 3, length: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, model.config.vocab_size, (count, length))


def test_the_dense_patterns_loss_is_the_models_own(any_model: PreTrainedModel) -> None:
    tokens, anatomy = windows(any_model), anatomy_of(any_model)
    dense = (1,) * len(anatomy.blocks)
    evaluation = ReferenceEvaluator(any_model, anatomy, tokens).evaluate([dense])
    for row, expected in zip(tokens, evaluation.sums[0], strict=True):
        ids = torch.tensor(row).unsqueeze(0)
        with torch.no_grad():
            own = float(any_model(input_ids=ids, labels=ids, use_cache=False).loss)
        assert expected / (len(row) - 1) == pytest.approx(own, rel=1e-5)
    assert evaluation.tokens.tolist() == [11, 11, 11]
    assert evaluation.costs.tolist() == [1.0]


def test_a_patterns_loss_is_that_of_the_model_without_its_dropped_blocks(
    any_model: PreTrainedModel,
) -> None:
    tokens, anatomy = windows(any_model), anatomy_of(any_model)
    n_blocks = len(anatomy.blocks)
    pattern = (0, *(1,) * (n_blocks - 3), 0, 1)
    loss = ReferenceEvaluator(any_model, anatomy, tokens).evaluate([pattern]).losses[0]
    removed = without_blocks(any_model, anatomy, dropped_units(pattern))
    with torch.no_grad():
        logits = removed(input_ids=torch.tensor(tokens), use_cache=False).logits
    expected = float(window_sums(logits, torch.tensor(tokens)).sum()) / (3 * 11)
    assert loss == pytest.approx(expected, abs=1e-5)


@settings(max_examples=20)
@given(data=st.data())
def test_a_loss_depends_on_nothing_but_its_pattern(
    llama: PreTrainedModel, data: st.DataObject
) -> None:
    anatomy = anatomy_of(llama)
    bit = st.sampled_from([0, 1])
    pattern = st.tuples(*[bit] * len(anatomy.blocks)).filter(any)
    population = data.draw(st.lists(pattern, min_size=1, max_size=5))
    evaluator = ReferenceEvaluator(llama, anatomy, windows(llama))
    together = evaluator.evaluate(population)
    alone = [evaluator.evaluate([p]).sums[0] for p in reversed(population)][::-1]
    np.testing.assert_array_equal(together.sums, alone)


def test_the_model_is_left_as_it_was(llama: PreTrainedModel) -> None:
    ids = torch.tensor(windows(llama))
    with torch.no_grad():
        before = llama(input_ids=ids).logits
    anatomy = anatomy_of(llama)
    ReferenceEvaluator(llama, anatomy, windows(llama)).evaluate([(0, 1, 1, 0, 1)])
    with torch.no_grad():
        assert torch.equal(llama(input_ids=ids).logits, before)


def test_windows_are_independent_of_how_many_are_computed_at_once(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    anatomy, tokens = anatomy_of(llama), windows(llama, count=5)
    at_once = ReferenceEvaluator(llama, anatomy, tokens).evaluate([(1, 0, 1, 1, 1)])
    monkeypatch.setattr(reference, "_LOGITS_BYTES", 1)
    one_by_one = ReferenceEvaluator(llama, anatomy, tokens).evaluate([(1, 0, 1, 1, 1)])
    np.testing.assert_allclose(one_by_one.sums, at_once.sums, rtol=1e-6)


def test_cost_is_the_share_of_the_dense_work(llama: PreTrainedModel) -> None:
    anatomy = anatomy_of(llama)
    block, head = anatomy.blocks[0].work, anatomy.head_work
    costs = (
        ReferenceEvaluator(llama, anatomy, windows(llama))
        .evaluate([(1, 1, 1, 1, 1), (0, 1, 0, 1, 1)])
        .costs
    )
    assert costs[0] == 1.0
    assert costs[1] == pytest.approx((3 * block + head) / (5 * block + head))


def test_the_loss_is_taken_in_float32_and_summed_in_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(2, 50, 1000, generator=generator) * 4).bfloat16()
    tokens = torch.randint(1000, (2, 50), generator=generator)
    sums = window_sums(logits, tokens)
    log_probabilities = logits[:, :-1].double().log_softmax(-1)
    exact = -log_probabilities.gather(-1, tokens[:, 1:, None]).sum((1, 2))
    assert sums.dtype == torch.float64
    torch.testing.assert_close(sums, exact, rtol=1e-6, atol=0)
