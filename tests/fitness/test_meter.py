"""What a meter counts, charges and refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from toy_landscapes import toy_landscape

from evop_deap.base.errors import InputError
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.meter import Meter
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.space import Pattern, SearchSpace

LANDSCAPE = toy_landscape(0, units=6, drops=(1, 2))
PATTERNS: list[Pattern] = [tuple(row) for row in LANDSCAPE.patterns.tolist()]
SPACE = SearchSpace(LANDSCAPE.units, n_drop=2)


def test_each_different_pattern_counts_once_and_each_request_is_paid_for() -> None:
    meter = Meter(TabularEvaluator(LANDSCAPE))
    first, again = meter.evaluate(PATTERNS[:3]), meter.evaluate(PATTERNS[1:4])
    assert meter.evaluations == 4
    assert list(meter.asked) == PATTERNS[:4]
    assert meter.cost == first.cost + again.cost
    assert list(meter.losses.values()) == LANDSCAPE.losses[:4].tolist()


def test_only_losses_of_the_space_over_all_windows_are_remembered() -> None:
    meter = Meter(TabularEvaluator(LANDSCAPE), space=SPACE)
    meter.evaluate(PATTERNS)
    assert set(meter.losses) == {pattern for pattern in PATTERNS if pattern in SPACE}
    part = Meter(TabularEvaluator(LANDSCAPE), space=SPACE)
    part.evaluate(PATTERNS, [0])
    assert (part.losses, part.evaluations) == ({}, len(PATTERNS))


def test_answers_of_a_cache_are_counted() -> None:
    meter = Meter(CachedEvaluator(TabularEvaluator(LANDSCAPE)))
    meter.evaluate(PATTERNS[:3])
    meter.evaluate(PATTERNS[:2])
    assert meter.hits == 2


def test_another_price_changes_what_is_charged_and_told_and_no_loss() -> None:
    told: list[tuple[int, float]] = []

    def charge(patterns: Sequence[Pattern], found: Evaluation) -> Evaluation:
        return replace(found, costs=np.full(len(patterns), 2.0), work=Work(7), known=None)

    meter = Meter(
        TabularEvaluator(LANDSCAPE),
        charge=charge,
        after=lambda patterns, found: told.append((meter.evaluations, found.cost)),
    )
    found = meter.evaluate(PATTERNS[:3])
    assert found.losses.tolist() == LANDSCAPE.losses[:3].tolist()
    assert (meter.cost, meter.work) == (6.0, Work(7))
    assert told == [(3, 6.0)]


def test_what_is_refused_is_neither_evaluated_nor_counted() -> None:
    inner = Meter(TabularEvaluator(LANDSCAPE))

    def admit(wanted: int) -> None:
        if wanted > 4:
            raise InputError(f"{wanted} are too many")

    meter = Meter(inner, admit=admit)
    meter.evaluate(PATTERNS[:3])
    meter.evaluate(PATTERNS[:4])
    with pytest.raises(InputError, match="6 are too many"):
        meter.evaluate(PATTERNS[2:6])
    assert (meter.evaluations, inner.evaluations) == (4, 4)
