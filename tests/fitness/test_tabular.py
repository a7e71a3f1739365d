"""Looking losses up: a table answers with the face of any other evaluator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.evolution.genome import Genome
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.landscape import Landscape, save_landscape
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.space import Pattern, Unit

PATTERNS: list[Pattern] = [(1, 1, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 1)]
UNKNOWN: Pattern = (0, 1, 0)
WORK, HEAD_WORK = [5, 7, 11], 3


def plain_table() -> dict[Pattern, float]:
    return {pattern: 2.0 + row / 3 for row, pattern in enumerate(PATTERNS)}


def landscape() -> Landscape:
    """Windows of unlike lengths, so that a mean over windows is not one over tokens."""
    return Landscape(
        units=tuple(Unit(str(i), 10 * work, work) for i, work in enumerate(WORK)),
        patterns=np.array(PATTERNS, np.uint8),
        sums=np.random.default_rng(0).uniform(10, 99, (len(PATTERNS), 3)),
        tokens=np.array([4, 9, 30]),
        head_work=HEAD_WORK,
        about={},
    )


TABLES: list[Callable[[], dict[Pattern, float] | Landscape]] = [plain_table, landscape]


@given(population=st.lists(st.sampled_from(PATTERNS)))
def test_a_look_up_in_a_table_of_losses_counts_as_one_dense_pass(population: list[Pattern]) -> None:
    evaluation = TabularEvaluator(plain_table()).evaluate(population)
    assert evaluation.losses.tolist() == [plain_table()[pattern] for pattern in population]
    assert evaluation.costs.tolist() == [1.0] * len(population)
    assert evaluation.sums.shape == (len(population), 1)
    assert evaluation.tokens.tolist() == [1]
    assert evaluation.hits == 0


def test_the_one_window_of_a_table_of_losses_can_be_asked_for() -> None:
    table = TabularEvaluator(plain_table())
    whole, part = table.evaluate(PATTERNS), table.evaluate(PATTERNS, [0])
    np.testing.assert_array_equal(part.sums, whole.sums)
    np.testing.assert_array_equal(part.costs, whole.costs)


@given(
    population=st.lists(st.sampled_from(PATTERNS)),
    windows=st.none() | st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
)
def test_windows_pick_columns_of_a_landscape_and_a_share_of_its_cost(
    population: list[Pattern], windows: list[int] | None
) -> None:
    known = landscape()
    evaluation = TabularEvaluator(known).evaluate(population, windows)
    asked = [0, 1, 2] if windows is None else windows
    rows = [PATTERNS.index(pattern) for pattern in population]
    np.testing.assert_array_equal(evaluation.sums, known.sums[rows][:, asked])
    assert evaluation.tokens.tolist() == [[4, 9, 30][window] for window in asked]
    np.testing.assert_allclose(
        evaluation.losses, known.sums[rows][:, asked].sum(axis=1) / known.tokens[asked].sum()
    )
    np.testing.assert_allclose(
        evaluation.costs, walk_costs(population, WORK, HEAD_WORK) * len(asked) / 3
    )


@pytest.mark.parametrize("window", [3, 99])
def test_a_window_that_is_not_there_is_no_answer(window: int) -> None:
    with pytest.raises(IndexError):
        TabularEvaluator(landscape()).evaluate(PATTERNS, [0, window])


@pytest.mark.parametrize("table", TABLES)
def test_a_pattern_that_the_table_lacks_is_refused_by_name(
    table: Callable[[], dict[Pattern, float] | Landscape],
) -> None:
    evaluator = TabularEvaluator(table())
    with pytest.raises(InputError, match=r"no loss for the pattern \(0, 1, 0\)"):
        evaluator.evaluate([PATTERNS[0], UNKNOWN])


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("pattern", [(), (1, 1), (1, 1, 1, 1), (1, 1, 2)])
def test_a_pattern_of_other_units_is_refused(
    table: Callable[[], dict[Pattern, float] | Landscape], pattern: Pattern
) -> None:
    with pytest.raises(InputError, match="no loss for the pattern"):
        TabularEvaluator(table()).evaluate([pattern])


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("missing", [9.75, 0.0, float("inf")])
@pytest.mark.parametrize("windows", [None, [0]])
def test_a_loss_stands_in_for_those_that_the_table_lacks(
    table: Callable[[], dict[Pattern, float] | Landscape],
    missing: float,
    windows: list[int] | None,
) -> None:
    population = [PATTERNS[2], UNKNOWN, PATTERNS[1]]
    found = TabularEvaluator(table(), missing=missing).evaluate(population, windows)
    known = TabularEvaluator(table()).evaluate([PATTERNS[2], PATTERNS[1]], windows)
    np.testing.assert_allclose(found.losses[1], missing, rtol=1e-15)
    np.testing.assert_array_equal(found.sums[[0, 2]], known.sums)
    assert found.costs[1] > 0


@pytest.mark.parametrize("missing", [None, 3.0])
@pytest.mark.parametrize("table", [*TABLES, dict])
def test_an_empty_population_has_no_losses_and_costs_nothing(
    table: Callable[[], dict[Pattern, float] | Landscape], missing: float | None
) -> None:
    evaluator = TabularEvaluator(table(), missing=missing)
    width = 3 if table is landscape else 1
    for windows, asked in ((None, width), ([0], 1)):
        evaluation = evaluator.evaluate([], windows)
        assert evaluation.sums.shape == (0, asked)
        assert evaluation.tokens.shape == (asked,)
        assert evaluation.losses.shape == (0,)
        assert evaluation.cost == 0


def test_an_empty_table_knows_nothing() -> None:
    with pytest.raises(InputError, match="no loss"):
        TabularEvaluator({}).evaluate([(1, 0)])
    assert TabularEvaluator({}, missing=2.5).evaluate([(1, 0)]).losses.tolist() == [2.5]


@pytest.mark.parametrize("table", TABLES)
def test_individuals_and_rows_of_arrays_are_patterns_too(
    table: Callable[[], dict[Pattern, float] | Landscape],
) -> None:
    evaluator = TabularEvaluator(table())
    expected = evaluator.evaluate(PATTERNS)
    for population in (list(map(Genome, PATTERNS)), list(np.array(PATTERNS, np.uint8))):
        found = evaluator.evaluate(population)
        np.testing.assert_array_equal(found.sums, expected.sums)
        np.testing.assert_array_equal(found.costs, expected.costs)


@pytest.mark.parametrize("table", TABLES)
def test_an_answer_can_be_written_on_without_harm_to_the_table(
    table: Callable[[], dict[Pattern, float] | Landscape],
) -> None:
    evaluator = TabularEvaluator(table())
    first = evaluator.evaluate(PATTERNS)
    sums, tokens = first.sums.copy(), first.tokens.copy()
    first.sums[:] = -1
    first.tokens[:] = 99
    again = evaluator.evaluate(PATTERNS)
    np.testing.assert_array_equal(again.sums, sums)
    np.testing.assert_array_equal(again.tokens, tokens)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_infinitely_bad(loss: float) -> None:
    found = TabularEvaluator({(1, 0): loss, (0, 1): 2.0}).evaluate([(1, 0), (0, 1)])
    assert found.losses.tolist() == [np.inf, 2.0]


def test_a_table_behind_a_cache_is_asked_once() -> None:
    cached = CachedEvaluator(TabularEvaluator(plain_table()))
    assert cached.evaluate(PATTERNS).cost == len(PATTERNS)
    again = cached.evaluate([*PATTERNS, PATTERNS[0]])
    assert (again.cost, again.hits) == (0, len(PATTERNS) + 1)
    assert again.losses.tolist() == [*plain_table().values(), plain_table()[PATTERNS[0]]]


@pytest.mark.parametrize("kind", [str, Path])
def test_a_table_from_a_file_answers_like_the_landscape_in_it(
    kind: type[str] | type[Path], tmp_path: Path
) -> None:
    path = tmp_path / "some.npz"
    save_landscape(path, landscape())
    found = TabularEvaluator.from_file(kind(path)).evaluate(PATTERNS, [2, 0])
    expected = TabularEvaluator(landscape()).evaluate(PATTERNS, [2, 0])
    np.testing.assert_array_equal(found.sums, expected.sums)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_array_equal(found.costs, expected.costs)


def test_a_table_from_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none.npz cannot be read"):
        TabularEvaluator.from_file(tmp_path / "none.npz")
