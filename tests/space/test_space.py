from __future__ import annotations

import itertools

import pytest

from evop_deap.base.errors import InputError
from evop_deap.space import SearchSpace, Unit, units_named, units_to_drop

UNITS = tuple(Unit(str(i), parameters=10, work=10) for i in range(6))


@pytest.mark.parametrize(("protected", "n_drop"), [((), 1), ((), 5), ((0, 5), 2), ((2,), 5)])
def test_the_size_of_a_space_counts_the_patterns_in_it(
    protected: tuple[int, ...], n_drop: int
) -> None:
    space = SearchSpace(UNITS, n_drop, frozenset(protected))
    patterns = [p for p in itertools.product((0, 1), repeat=6) if p in space]
    assert len(patterns) == space.size


@pytest.mark.parametrize(
    "stranger",
    [(1, 1, 0), (1, 1, 1, 1, 1, 1), (0, 1, 1, 1, 1, 1), (1, 1, 1, 0, 0, 1), (1, 1, 1, 1, 2, 0)],
    ids=["too short", "dense", "protected", "too many", "not binary"],
)
def test_a_space_holds_no_pattern_that_breaks_its_rules(stranger: tuple[int, ...]) -> None:
    assert stranger not in SearchSpace(UNITS, 1, frozenset({0}))


@pytest.mark.parametrize("n_drop", [-1, 0, 6, 7])
def test_dropping_nothing_or_everything_is_refused(n_drop: int) -> None:
    with pytest.raises(InputError, match="`n_drop` must be between 1 and 5"):
        SearchSpace(UNITS, n_drop)


def test_protecting_too_many_units_is_refused_with_the_numbers() -> None:
    with pytest.raises(InputError, match="leaves 2 of 6 units, fewer than the 3 to drop"):
        SearchSpace(UNITS, 3, frozenset({0, 1, 2, 3}))


@pytest.mark.parametrize(
    ("n_units", "sparsity", "expected"),
    [(30, 0.2, 6), (32, 0.25, 8), (30, 0.33, 10), (6, 0.25, 2), (2, 0.5, 1), (30, 0.9, 27)],
)
def test_a_share_is_rounded_to_the_nearest_count_and_halves_go_up(
    n_units: int, sparsity: float, expected: int
) -> None:
    assert units_to_drop(n_units, sparsity) == expected


@pytest.mark.parametrize("sparsity", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_outside_zero_and_one_is_refused(sparsity: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        units_to_drop(30, sparsity)


def test_a_single_unit_has_no_share_that_would_do() -> None:
    with pytest.raises(InputError, match="one unit, which must stay"):
        units_to_drop(1, 0.5)


@pytest.mark.parametrize(("sparsity", "what"), [(0.01, "none"), (0.99, "all")])
def test_a_share_that_rounds_to_none_or_all_is_refused_with_what_would_do(
    sparsity: float, what: str
) -> None:
    with pytest.raises(InputError, match=f"rounds to {what} of 30 units: choose between 0.017"):
        units_to_drop(30, sparsity)


@pytest.mark.parametrize(
    ("names", "positions"),
    [(["0"], {0}), (["-1"], {5}), (["1-3"], {1, 2, 3}), (["0", "-2"], {0, 4}), ([], set())],
)
def test_units_are_named_by_position_from_the_end_or_as_a_range(
    names: list[str], positions: set[int]
) -> None:
    assert units_named(UNITS, names) == positions


@pytest.mark.parametrize("name", ["6", "-7", "3-1", "2-9", "first", "", "1.attn"])
def test_a_name_that_no_unit_has_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="`protect` has the unknown unit"):
        units_named(UNITS, [name])
