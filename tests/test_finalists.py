"""Which patterns are too near the best to tell apart, and which of them is named."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from toy_models import toy_model
from transformers import PreTrainedModel

from evop_deap.calibration import WindowSet
from evop_deap.fitness.reference import ReferenceEvaluator
from evop_deap.models.anatomy import find_anatomy
from evop_deap.run.finalists import Finalist, judged_in_float32, near_the_best
from evop_deap.space import Pattern

TOKENS = np.full(4, 10)
BEST, NEAR, FAR, LOST = (0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0)


def rows(per_token: Mapping[Pattern, list[float]]) -> dict[Pattern, NDArray[np.float64]]:
    return {pattern: np.array(losses) * TOKENS for pattern, losses in per_token.items()}


def means(sums: Mapping[Pattern, NDArray[np.float64]]) -> dict[Pattern, float]:
    return {pattern: float(row.sum() / TOKENS.sum()) for pattern, row in sums.items()}


def test_a_pattern_is_near_where_windows_disagree_on_which_is_better() -> None:
    seen = rows({
        BEST: [1.0, 2.0, 3.0, 4.0],
        NEAR: [1.3, 1.8, 3.2, 4.0],  # 0.075 behind, give or take 0.11
        FAR: [1.5, 2.5, 3.5, 4.5],  # behind by the same on every window
    })  # fmt: skip
    found = near_the_best(means(seen), seen, TOKENS)
    assert [finalist.pattern for finalist in found] == [BEST, NEAR]
    assert found[0].behind == found[0].error == 0.0
    difference = np.array([0.3, -0.2, 0.2, 0.0])
    assert found[1].behind == pytest.approx(difference.mean())
    assert found[1].error == pytest.approx(difference.std(ddof=1) / 2)


def test_a_lost_pattern_is_no_finalist_unless_all_are_lost() -> None:
    seen = rows({BEST: [1.0] * 4, LOST: [math.inf] * 4})
    assert [f.pattern for f in near_the_best(means(seen), seen, TOKENS)] == [BEST]
    lost = rows({LOST: [math.inf] * 4})
    assert [f.pattern for f in near_the_best({LOST: math.inf}, lost, TOKENS)] == [LOST]


def test_with_one_window_only_equals_are_near() -> None:
    seen = {BEST: np.array([10.0]), NEAR: np.array([10.0]), FAR: np.array([10.1])}
    losses = {pattern: float(row[0] / 10) for pattern, row in seen.items()}
    found = near_the_best(losses, seen, np.array([10]))
    assert [finalist.pattern for finalist in found] == [BEST, NEAR]


def test_there_are_at_most_eight() -> None:
    rng = np.random.default_rng(0)
    patterns = list(itertools.product((0, 1), repeat=5))
    seen = rows({pattern: list(2 + rng.normal(size=4)) for pattern in patterns})
    assert len(near_the_best(means(seen), seen, TOKENS)) == 8


@pytest.fixture
def half() -> PreTrainedModel:
    """A toy Llama in bfloat16."""
    return toy_model("llama").to(torch.bfloat16)


@pytest.fixture
def windows() -> WindowSet:
    tokens = np.random.default_rng(0).integers(0, 50, size=(3, 16))
    return WindowSet(tokens=tokens, stretches=((),) * 3, prefix=())


def finalists_of(model: PreTrainedModel, windows: WindowSet) -> list[Finalist]:
    """Every pattern without one block, in the order of its loss in the model's own format."""
    anatomy = find_anatomy(model)
    count = len(anatomy.blocks)
    patterns = [tuple(int(i != gone) for i in range(count)) for gone in range(count)]
    losses = ReferenceEvaluator(model, anatomy, windows.tokens).evaluate(patterns).losses.tolist()
    return sorted((Finalist(p, v, 0.0, 0.0) for p, v in zip(patterns, losses, strict=True)),
                  key=lambda finalist: finalist.loss)  # fmt: skip


def test_finalists_of_a_bfloat16_model_are_ranked_by_their_losses_in_float32(
    half: PreTrainedModel, windows: WindowSet
) -> None:
    before = [parameter.clone() for parameter in half.parameters()]
    found = judged_in_float32(finalists_of(half, windows), half, find_anatomy(half), windows, "ce")
    whole = toy_model("llama").to(torch.bfloat16).float()
    wanted = ReferenceEvaluator(whole, find_anatomy(whole), windows.tokens)
    truth = wanted.evaluate([finalist.pattern for finalist in found]).losses
    np.testing.assert_allclose([finalist.float32 for finalist in found], truth, atol=1e-5)
    assert truth.tolist() == sorted(truth.tolist())
    for parameter, old in zip(half.parameters(), before, strict=True):
        assert parameter.dtype == torch.bfloat16
        assert not parameter.is_inference()
        assert torch.equal(parameter, old)


def test_float32_losses_are_final_and_a_single_finalist_needs_no_judge(
    half: PreTrainedModel, windows: WindowSet, llama: PreTrainedModel
) -> None:
    whole = finalists_of(llama, windows)
    assert judged_in_float32(whole, llama, find_anatomy(llama), windows, "ce") == whole
    one = finalists_of(half, windows)[:1]
    assert judged_in_float32(one, half, find_anatomy(half), windows, "ce") == one
