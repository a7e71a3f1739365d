"""The time that a run is said to still take."""

from __future__ import annotations

from typing import Any

import pytest

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.runs.stages.time_left import generations_left, seconds_left


def state(generation: int, **row: Any) -> EvolutionState:
    """A search that took 10 s and 2 units of work for each of its generations."""
    work = {"block_tokens": 0, "head_tokens": 0, "bytes_held": 0, "executed": 2.0}
    count = generation + 1
    return EvolutionState(
        generation=generation,
        population=(Genome((1, 0), loss=1.0),),
        losses={(1, 0): 1.0},
        records=tuple({**work, **row} for _ in range(count)),
        cost=2.0 * count,
        cache_hits=0,
        seconds=10.0 * count,
        best_since=0,
        rng_state=(),
        other_evaluations=count - 1,
    )


@pytest.mark.parametrize(
    ("stopping", "left"),
    [
        (Stopping(generations=10), 6),
        (Stopping(generations=10, evaluations=8), 3),
        (Stopping(cost=20.0), 5),
        (Stopping(seconds=60.0), 1),
        (Stopping(generations=2), 0),
        (Stopping(), None),
    ],
)
def test_the_nearest_limit_counts(stopping: Stopping, left: float | None) -> None:
    assert generations_left(state(4), stopping) == (left if left is None else pytest.approx(left))


def test_a_surer_surrogate_leaves_less_time() -> None:
    rows = [{"trusted": True, "chance": chance} for chance in (1.0, 0.5, 0.2, 0.05, 0.0)]
    left = [generations_left(state(6, **row), Stopping(generations=60, sure=0.95)) for row in rows]
    assert left[0] == 7  # as long as until now, and one more
    assert left == sorted(left, reverse=True)  # type: ignore[type-var]
    assert left[-1] == left[-2] == 1
    doubted = state(6, trusted=False, chance=0.0)
    assert generations_left(doubted, Stopping(generations=60, sure=0.95)) == 54


def test_the_stages_after_the_search_are_told_by_its_speed() -> None:
    stopping = Stopping(generations=10)
    assert seconds_left(state(4), stopping, after=0.0) == pytest.approx(60.0)
    assert seconds_left(state(4), stopping, after=8.0) == pytest.approx(60.0 + 8 * 5)
    assert seconds_left(state(4), Stopping(), after=8.0) is None
