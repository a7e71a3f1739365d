"""Stored losses serve another search only where it would compute the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_models import anatomy_of, shared_toy
from transformers import PreTrainedModel

from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.shared_losses import HeldBackStore, sharing_evaluator
from evop_deap.fitness.protocol import Evaluator
from evop_deap.fitness.store import LossStore

TOKENS = np.random.default_rng(0).integers(3, 80, (2, 8))
PATTERNS = [(1, 0, 1, 1, 1), (1, 1, 0, 1, 1)]


def sharing(model: PreTrainedModel, store: HeldBackStore) -> Evaluator:
    return sharing_evaluator(
        PopulationEvaluator(model, anatomy_of(model), TOKENS, windows_at_once=1, stacked=False),
        store,
        model=model,
        name="toy",
        fingerprint="f",
        tokens=TOKENS,
    )


def executed(model: PreTrainedModel, losses: LossStore) -> float:
    """The work of evaluating the patterns; their sums are stored afterwards."""
    store = HeldBackStore(losses)
    found = sharing(model, store).evaluate(PATTERNS)
    store.release()
    return found.work.executed


@pytest.fixture
def precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def test_a_sum_of_another_precision_is_computed_anew(tmp_path: Path, precision: None) -> None:
    model, store = shared_toy("llama"), LossStore(tmp_path / "losses.sqlite")
    assert executed(model, store) > 0
    assert executed(model, store) == 0
    torch.set_float32_matmul_precision("medium")
    assert executed(model, store) > 0


class Changeable(torch.nn.Identity):
    """Code that no package has."""


def test_losses_of_code_that_may_change_are_not_shared(tmp_path: Path) -> None:
    model, store = shared_toy("llama"), LossStore(tmp_path / "losses.sqlite")
    model.add_module("own", Changeable())
    try:
        assert isinstance(sharing(model, HeldBackStore(store)), PopulationEvaluator)
    finally:
        del model.own
