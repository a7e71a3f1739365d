"""Patterns judged on some windows, as those judged on all of them say of that part."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evop_deap.space import Pattern
from evop_deap.surrogate.extrapolation import carried_over
from evop_deap.surrogate.observations import observe

WINDOWS, UNITS, TOKENS = 8, 40, 100


def landscape(
    rng: np.random.Generator, patterns: int, chance: float
) -> tuple[dict[Pattern, NDArray[np.float64]], Pattern, NDArray[np.int64]]:
    """Window sums of patterns whose excess losses have a factor each and one for each window."""
    tokens = np.full(WINDOWS, TOKENS)
    base = rng.normal(3.0, 0.5, WINDOWS) * tokens
    harder = np.exp(rng.normal(0.0, 0.4, WINDOWS))
    dense = (1,) * UNITS
    rows = {dense: base}
    for place in range(patterns):
        excess = math.exp(rng.normal(0.0, 0.3)) * harder * np.exp(rng.normal(0, chance, WINDOWS))
        rows[tuple(int(unit != place) for unit in range(UNITS))] = base + excess * tokens
    return rows, dense, tokens


@pytest.mark.parametrize("seen", [1, 3, 6])
def test_windows_that_are_harder_for_all_are_no_fault_of_a_pattern(seen: int) -> None:
    misses, claims, naive = [], [], []
    for seed in range(20):
        rows, dense, tokens = landscape(np.random.default_rng(seed), 30, chance=0.1)
        whole = observe(rows, tokens, dense)
        cut = [*rows][21:]
        for pattern in cut:
            rows[pattern] = np.where(np.arange(WINDOWS) < seen, rows[pattern], math.nan)
        known = observe(rows, tokens, dense)
        np.testing.assert_array_equal(known.values[:20], whole.values[:20])
        assert not known.noise[:20].any()
        misses += (known.values - whole.values)[20:].tolist()
        claims += known.noise[20:].tolist()
        alone = observe({p: rows[p] for p in (dense, *cut)}, tokens, dense)
        naive += (alone.values - whole.values[20:]).tolist()
    miss, error = np.sqrt(np.mean(np.square(misses))), np.sqrt(np.mean(claims))
    assert miss < 0.5 * np.sqrt(np.mean(np.square(naive)))
    assert miss < error < 2.5 * miss


@given(
    part=st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=4),
    references=st.lists(st.tuples(st.floats(-3.0, 3.0), st.floats(-1.0, 1.0)), max_size=6),
    own=st.floats(0.0, 1.0),
)
def test_a_value_is_moved_by_no_more_than_some_reference_is_off(
    part: list[float], references: list[tuple[float, float]], own: float
) -> None:
    values, in_part = np.array(part), np.array([value for value, _ in references])
    off = np.array([more for _, more in references])
    moved, variance = carried_over(values, np.full(len(part), own), in_part + off, in_part)
    margin = 1e-12
    assert (moved - values <= max([0.0, *off]) + margin).all()
    assert (moved - values >= min([0.0, *off]) - margin).all()
    assert (variance >= 0.0).all()
    assert (variance <= own + np.square(off).sum() + margin).all()


def test_without_references_a_pattern_speaks_for_itself() -> None:
    nothing = np.zeros(0)
    moved, variance = carried_over(np.array([1.0]), np.array([0.2]), nothing, nothing)
    assert (moved.tolist(), variance.tolist()) == ([1.0], [0.2])


def test_patterns_that_lose_far_less_have_no_say() -> None:
    # A single unit's excess may be next to nothing in some window, and its logarithm anything.
    whole, in_part = np.array([-1.0, -6.0]), np.array([-1.1, -12.0])
    moved, variance = carried_over(np.array([-1.1]), np.array([0.1]), whole, in_part)
    assert moved[0] == pytest.approx(-1.1 + 0.1 / 1.3)
    assert variance[0] < 0.1
