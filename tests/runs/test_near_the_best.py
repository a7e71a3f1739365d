"""Which patterns are too near the best to tell apart by the windows searched on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from evop_deap.runs.stages.near_equals import near_the_best
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
    assert [one.pattern for one in found] == [BEST, NEAR]
    assert found[0].behind == found[0].error == 0.0
    difference = np.array([0.3, -0.2, 0.2, 0.0])
    assert found[1].behind == pytest.approx(difference.mean())
    assert found[1].error == pytest.approx(difference.std(ddof=1) / 2)


def test_a_lost_pattern_is_not_close_unless_all_are_lost() -> None:
    seen = rows({BEST: [1.0] * 4, LOST: [math.inf] * 4})
    assert [f.pattern for f in near_the_best(means(seen), seen, TOKENS)] == [BEST]
    lost = rows({LOST: [math.inf] * 4})
    assert [f.pattern for f in near_the_best({LOST: math.inf}, lost, TOKENS)] == [LOST]


def test_with_one_window_only_equals_are_near() -> None:
    seen = {BEST: np.array([10.0]), NEAR: np.array([10.0]), FAR: np.array([10.1])}
    losses = {pattern: float(row[0] / 10) for pattern, row in seen.items()}
    found = near_the_best(losses, seen, np.array([10]))
    assert [one.pattern for one in found] == [BEST, NEAR]


def test_there_are_at_most_eight() -> None:
    rng = np.random.default_rng(0)
    patterns = list(itertools.product((0, 1), repeat=5))
    seen = rows({pattern: list(2 + rng.normal(size=4)) for pattern in patterns})
    assert len(near_the_best(means(seen), seen, TOKENS)) == 8
