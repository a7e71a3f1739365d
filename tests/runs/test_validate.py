"""Which of the patterns that calibration text cannot tell apart is named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy_models import toy_model
from transformers import PreTrainedModel

from evop_deap.calibration import CalibrationSet, WindowSet
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.window_kinds import TextAndQuestions, weight_beside
from evop_deap.fitness.paired import paired_difference
from evop_deap.fitness.protocol import Evaluation
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.run_search import run_search
from evop_deap.runs.stages.near_equals import NearEqual, near_the_best
from evop_deap.runs.stages.validate import (
    Evaluate,
    Validated,
    decide,
    ranked_on_both,
    tied_with_the_best,
)
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.search_config import SearchConfig
from evop_deap.text.questions import Option, Question, Questions

TOKENS = np.full(4, 10)
PATTERNS = [(0, 1, 1), (1, 0, 1), (1, 1, 0)]
ROWS = {
    PATTERNS[0]: np.array([10.0, 20.0, 30.0, 40.0]),
    PATTERNS[1]: np.array([13.0, 18.0, 32.0, 40.0]),  # 0.075 behind, give or take 0.11
    PATTERNS[2]: np.array([12.0, 20.0, 32.0, 41.0]),  # 0.125 behind, give or take 0.05
}


def near_equals(*behind: float) -> list[NearEqual]:
    return [
        NearEqual(pattern, 2.5, mean, 0.1) for pattern, mean in zip(PATTERNS, behind, strict=False)
    ]


def evaluation(sums: list[list[float]]) -> Evaluation:
    array = np.array(sums)
    return Evaluation(array, np.full(array.shape[1], 10), np.ones(len(array)))


def test_a_tied_pattern_is_within_one_standard_error_of_the_best() -> None:
    found = tied_with_the_best(near_equals(0.0, 0.075, 0.125), ROWS, TOKENS)
    assert [one.pattern for one in found] == PATTERNS[:2]


def test_the_lowest_mean_over_both_texts_is_named() -> None:
    # By calibration windows the first leads by 3 nats in 40 tokens; the second makes good for
    # more than that on validation windows, and the third for less.
    more = evaluation([[30.0, 30.0], [28.0, 28.0], [29.0, 29.0]])
    found = ranked_on_both(near_equals(0.0, 0.075, 0.125), ROWS, TOKENS, more)
    assert [one.pattern for one in found] == [PATTERNS[1], PATTERNS[0], PATTERNS[2]]
    assert [one.validation for one in found] == pytest.approx([2.8, 3.0, 2.9])


def test_a_validation_window_with_more_in_it_weighs_more() -> None:
    # A tenth of a nat ahead on calibration windows, and as much behind on validation windows.
    rows = {PATTERNS[0]: np.array([1.0, 1.0]), PATTERNS[1]: np.array([1.1, 1.1])}
    more = Evaluation(np.array([[1.1], [1.0]]), np.array([1]), np.ones(2))
    for weight, first in ((1.0, 0), (1.9, 0), (2.1, 1)):
        found = ranked_on_both(near_equals(0.0, 0.1), rows, np.array([1, 1]), more, weight)
        assert found[0].pattern == PATTERNS[first]


def test_windows_of_a_sum_weigh_by_what_is_in_them() -> None:
    asked = Questions((Question((Option((1, 2, 3), 1, 4),) * 2, right=0),) * 48)
    few = asked.some(range(24))
    token_ids = np.zeros((32, 16), dtype=np.int64)
    many, half = (TextAndQuestions(token_ids, one, together=1) for one in (asked, few))
    assert (len(many), len(half)) == (12, 6)
    together = weight_beside(half, many) * len(half)
    assert together / len(many) == pytest.approx(half.size / many.size)
    assert weight_beside(few, asked) == weight_beside(token_ids[:4], token_ids) == 1.0


@pytest.mark.parametrize("lost", [math.inf, math.nan])
def test_what_is_lost_on_validation_windows_cannot_win(lost: float) -> None:
    more = evaluation([[lost, 1.0], [40.0, 40.0], [lost, lost]])
    found = ranked_on_both(near_equals(0.0, 0.0, 0.0), ROWS, TOKENS, more)
    assert [one.pattern for one in found] == [PATTERNS[1], PATTERNS[0], PATTERNS[2]]
    assert [one.validation for one in found] == [4.0, None, None]
    nothing = evaluation([[lost]] * 3)
    kept = ranked_on_both(near_equals(0.0, 0.0, 0.0), ROWS, TOKENS, nothing)
    assert [one.pattern for one in kept] == PATTERNS


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_nothing_that_calibration_text_can_tell_from_the_best_is_ever_named(
    patterns: int, calibrated: int, validated: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    names = [tuple(int(bit) for bit in f"{number:04b}") for number in range(patterns)]
    tokens = np.full(calibrated, 7)
    rows = {name: 7 * (2 + 0.1 * rng.normal(size=calibrated)) for name in names}
    losses = {name: float(row.sum() / tokens.sum()) for name, row in rows.items()}
    rivals = tied_with_the_best(near_the_best(losses, rows, tokens), rows, tokens)
    more = Evaluation(
        7 * (2 + 0.1 * rng.normal(size=(len(rivals), validated))),
        np.full(validated, 7),
        np.ones(len(rivals)),
    )
    named, *others = ranked_on_both(rivals, rows, tokens, more)
    best = min(losses, key=losses.__getitem__)
    behind, error = paired_difference(rows[named.pattern], rows[best], tokens)
    assert behind <= error or named.pattern == best
    whole = np.concatenate([tokens, more.tokens]).sum()
    together = {
        rival.pattern: (rows[rival.pattern].sum() + sums.sum()) / whole
        for rival, sums in zip(rivals, more.sums, strict=True)
    }
    assert together[named.pattern] == min(together.values())
    assert len(others) == len(rivals) - 1


@pytest.fixture(scope="module")
def half() -> PreTrainedModel:
    """A toy Llama in bfloat16."""
    return toy_model("llama").to(torch.bfloat16)


def windows(seed: int, count: int = 3) -> WindowSet:
    tokens = np.random.default_rng(seed).integers(0, 50, size=(count, 16))
    return WindowSet(tokens=tokens, stretches=((),) * count, prefix=())


def text(validation: WindowSet | None) -> CalibrationSet:
    return CalibrationSet(windows(0), windows(1), {}, validation=validation)


def searched(model: PreTrainedModel) -> tuple[list[NearEqual], dict[Any, NDArray[np.float64]]]:
    """Every pattern without one block, and its sums, by its loss in the model's own format."""
    anatomy = find_anatomy(model)
    count = len(anatomy.blocks)
    patterns = [tuple(int(i != gone) for i in range(count)) for gone in range(count)]
    found = ReferenceEvaluator(model, anatomy, windows(0).tokens).evaluate(patterns)
    near = [NearEqual(p, v, 0.0, 0.0) for p, v in zip(patterns, found.losses.tolist(), strict=True)]
    rows = dict(zip(patterns, found.sums, strict=True))
    return sorted(near, key=lambda one: one.loss), rows


def plain(model: PreTrainedModel) -> Evaluate:
    return lambda tokens, patterns: ReferenceEvaluator(model, find_anatomy(model), tokens).evaluate(
        patterns
    )


def decided(model: PreTrainedModel, validation: WindowSet | None, most: int = 8) -> Validated:
    near, rows = searched(model)
    return decide(near[:most], rows, evaluate=plain(model), text=text(validation))


def test_everything_is_decided_in_the_dtype_of_the_search(half: PreTrainedModel) -> None:
    found = decided(half, windows(2, count=2))
    patterns = [one.pattern for one in found.near_equals]
    calibrated, validated = (
        plain(half)(part.tokens, patterns) for part in (windows(0), windows(2, count=2))
    )
    np.testing.assert_array_equal([one.loss for one in found.near_equals], calibrated.losses)
    rivals = [one for one in found.near_equals if one.validation is not None]
    assert found.tied == max(1, len(rivals))
    np.testing.assert_array_equal(
        [rival.validation for rival in rivals], validated.losses[: len(rivals)]
    )
    # One pass for each rival, as far as its blocks go, over two of three windows.
    assert found.cost == pytest.approx(validated.costs[: len(rivals)].sum() * 2 / 3)
    assert found.executed == found.cost


def test_where_there_is_nothing_to_decide_nothing_is_paid(llama: PreTrainedModel) -> None:
    near, rows = searched(llama)
    alone = decided(llama, windows(2), most=1)
    assert alone == Validated(tuple(near[:1]))
    # Without validation text the order of the search stands.
    found = decided(llama, None)
    assert found.near_equals == tuple(near)
    assert (found.tied, found.cost) == (len(tied_with_the_best(near, rows, np.full(3, 15))), 0.0)


def test_equals_on_calibration_text_are_told_apart_by_validation_text(
    llama: PreTrainedModel,
) -> None:
    near, rows = searched(llama)
    same = dict.fromkeys(rows, rows[near[0].pattern])
    found = decide(near, same, evaluate=plain(llama), text=text(windows(2)))
    assert found.tied == len(near)
    losses = [one.validation for one in found.near_equals]
    assert losses == sorted(losses)  # type: ignore[type-var]
    assert found.near_equals[0].pattern != near[0].pattern or losses[0] == min(losses)  # type: ignore[type-var]


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def stage(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(("seed", "several"), [(0, True), (1, False)])
def test_the_message_counts_the_near_equals_and_not_all_close_patterns(
    seed: int, several: bool, run_settings: dict[str, Any], tmp_path: Path
) -> None:
    told, own = Told(), {**run_settings, "compensate": "off", "seed": seed}
    found = run_search(SearchConfig(sparsity=0.4, **own), tmp_path / "run", progress=told)
    assert isinstance(found, SearchResult)
    near = found.validation["contenders"]
    assert len(found.finalists) > near
    assert (near > 1) == several
    said = [line for line in told.said if line.startswith("validating")]
    assert said == ([f"validating {near} near-equals"] if several else [])
