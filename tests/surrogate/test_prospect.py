"""A search ends when its surrogate is sure that nothing better is within reach."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy_landscapes import toy_landscape

from evop_deap.evolution.assemble import Search, assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import UNKNOWN, Prospect, Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.protocol import Evaluation
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.space import Pattern, SearchSpace
from evop_deap.surrogate.prospect import LEAST_TOLERANCE, chance_below, standard_error

LANDSCAPE = toy_landscape(0, units=13, drops=(0, 4), windows=6)
SPACE = SearchSpace(LANDSCAPE.units, n_drop=4)
numbers = st.floats(-4, 4)


def searched(seed: int, settings: EvolutionSettings | None = None) -> Search:
    evaluator = CachedEvaluator(TabularEvaluator(LANDSCAPE))
    evaluator.evaluate([SPACE.dense])
    return assemble(SPACE, evaluator, random.Random(seed), settings or EvolutionSettings())


@given(numbers, st.lists(st.tuples(numbers, st.floats(0.1, 3)), min_size=1, max_size=5))
def test_the_chance_lies_between_the_largest_alone_and_the_sum(
    threshold: float, variables: list[tuple[float, float]]
) -> None:
    means, deviations = (np.array(column) for column in zip(*variables, strict=True))
    alone = [
        chance_below(threshold, means[i : i + 1], deviations[i : i + 1]) for i in range(len(means))
    ]
    together = chance_below(threshold, means, deviations)
    assert max(alone) - 1e-12 <= together <= min(1.0, sum(alone)) + 1e-12


def test_the_chance_of_similar_patterns_is_not_told_too_small() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(20_000, 1))
    drawn = 0.5 + 0.8 * common + 0.6 * rng.normal(size=(20_000, 6))
    true = float((drawn.min(axis=1) < -1).mean())
    assert true <= chance_below(-1.0, np.full(6, 0.5), np.ones(6))


def test_nothing_lies_below_minus_infinity() -> None:
    assert chance_below(-np.inf, np.zeros(3), np.ones(3)) == 0.0


def test_the_standard_error_is_that_of_paired_differences() -> None:
    tokens = np.full(4, 10)
    easy = np.array([10.0, 20.0, 30.0, 40.0])
    assert standard_error([easy, easy + 1.0], tokens) == 0.0
    noisy = easy + np.array([0.0, 2.0, 0.0, 2.0])
    assert standard_error([easy, noisy], tokens) == pytest.approx(0.1 / 3**0.5)
    assert standard_error([easy], tokens) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_a_sure_search_ends_early_and_loses_less_than_the_losses_can_tell(seed: int) -> None:
    state = searched(seed).run(Stopping(generations=60, sure=0.95))
    assert state.stopped is not None
    assert state.stopped.startswith("when 9")
    assert state.generation < 40
    assert state.prospect.chance <= 0.05
    optimum = min(LANDSCAPE.losses[LANDSCAPE.rows[p]] for p in LANDSCAPE.rows if p in SPACE)
    assert state.best.loss - optimum <= max(LEAST_TOLERANCE, state.prospect.tolerance)


def test_a_higher_confidence_searches_no_shorter() -> None:
    ends = [searched(1).run(Stopping(generations=60, sure=p)).generation for p in (0.5, 0.9, 0.99)]
    assert ends == sorted(ends)
    assert searched(1).run(Stopping(generations=60)).generation == 60


def test_a_search_that_was_sure_goes_on_to_the_same_end_when_asked() -> None:
    whole = searched(2).run(Stopping(generations=30))
    search = searched(2)
    short = search.run(Stopping(generations=30, sure=0.95))
    assert short.generation < 30
    again = search.run(Stopping(generations=30, sure=0.95), short)
    assert again == dataclasses.replace(short, seconds=again.seconds)
    longer = search.run(Stopping(generations=30), short)
    assert longer.losses == whole.losses
    assert longer.records == whole.records


class Noise:
    """Losses that no surrogate can predict."""

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        sums = [[random.Random(str(pattern)).uniform(30, 60)] * 2 for pattern in patterns]
        asked: NDArray[Any] = np.array(sums).reshape(len(patterns), 2)
        asked = asked if windows is None else asked[:, list(windows)]
        return Evaluation(asked, np.full(asked.shape[1], 10), np.ones(len(patterns)))


def test_a_surrogate_that_is_not_trusted_ends_nothing() -> None:
    evaluator = CachedEvaluator(Noise())
    search = assemble(SPACE, evaluator, random.Random(0), EvolutionSettings(racing="off"))
    states: list[EvolutionState] = []
    search.run(Stopping(generations=25, sure=0.5), callbacks=[states.append])
    doubted = [state for state in states if not state.records[-1].get("trusted")]
    assert doubted
    for state in doubted:
        assert state.prospect == UNKNOWN


def test_a_search_without_a_surrogate_is_never_sure() -> None:
    settings = EvolutionSettings(surrogate="none")
    state = searched(0, settings).run(Stopping(generations=20, sure=0.5))
    assert state.stopped == "after 20 generations"
    assert state.prospect == UNKNOWN


def test_nobody_is_told_to_be_wholly_sure() -> None:
    assert str(Prospect(1e-9, 0.0123)).startswith("99% sure that no pattern within reach")
