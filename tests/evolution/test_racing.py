"""Who drops out of a race, when, and what it costs."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.racing import Racing, race, windows_together
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import Choice
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.landscape import Landscape, load_landscape
from evop_deap.fitness.protocol import Evaluation, Evaluator, Work
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.space import Pattern, SearchSpace, Unit

WORK, HEAD_WORK = [3, 5, 7, 11, 13, 17], 19
UNITS = tuple(Unit(str(i), 10 * work, work) for i, work in enumerate(WORK))
# Every pattern that drops two units: the first ones are the survivors, the others race.
PATTERNS: list[Pattern] = [
    SearchSpace(UNITS, n_drop=2).pattern((i, j)) for i in range(6) for j in range(i)
]
KNOWN = Path(__file__).parents[2] / "benchmarks" / "landscapes" / "demo.blocks.8-29.npz"


@dataclass
class Counting:
    """Asks `evaluator` and remembers for what; a window of a pattern is one unit of work."""

    evaluator: Evaluator
    asked: list[tuple[Pattern, int]] = field(default_factory=list)

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        found = self.evaluator.evaluate(patterns, windows)
        some = range(len(found.tokens)) if windows is None else windows
        self.asked += [(pattern, window) for pattern in patterns for window in some]
        work = Work(len(patterns) * len(some), len(patterns), bytes_held=len(some))
        return Evaluation(found.sums, found.tokens, found.costs, work=work)


def landscape(losses: NDArray[np.float64] | list[list[float]], tokens: int = 64) -> Landscape:
    """Of (patterns, windows) nats per token, for the first of `PATTERNS`."""
    table = np.array(losses, dtype=np.float64)
    return Landscape(
        units=UNITS,
        patterns=np.array(PATTERNS[: len(table)], np.uint8),
        sums=table * tokens,
        tokens=np.full(table.shape[1], tokens),
        head_work=HEAD_WORK,
        about={},
    )


@dataclass
class Race:
    """A race between all but the first patterns of a landscape, which are the survivors."""

    choice: Choice
    candidates: list[Genome]
    evaluator: CachedEvaluator
    counting: Counting

    @property
    def chosen(self) -> list[int]:
        """Places of those chosen among the candidates."""
        return [self.candidates.index(genome) for genome in self.choice.chosen]

    @property
    def seen(self) -> list[int]:
        """How many windows of each candidate were asked for."""
        asked = [pattern for pattern, _ in self.counting.asked]
        return [asked.count(genome.pattern) for genome in self.candidates]


def held(
    known: Landscape,
    *,
    survivors: int = 3,
    size: int = 3,
    racing: Racing | None = None,
    only: int | None = None,
) -> Race:
    counting = Counting(TabularEvaluator(known))
    evaluator = CachedEvaluator(counting)
    patterns = [tuple(pattern) for pattern in known.patterns.tolist()]
    judged = evaluator.evaluate(patterns[:survivors]).losses.tolist()
    population = sorted(map(_judged, patterns[:survivors], judged), key=lambda genome: genome.loss)
    counting.asked.clear()
    candidates = list(map(Genome, patterns[survivors:]))
    if only is not None:
        candidates = [candidates[only]]
    choice = race(
        candidates, population, evaluator=evaluator, racing=racing or Racing(1, 0.95), size=size
    )
    return Race(choice, candidates, evaluator, counting)


def _judged(pattern: Pattern, loss: float) -> Genome:
    return Genome(pattern, loss=loss)


def tables(most_windows: int = 9) -> st.SearchStrategy[NDArray[np.float64]]:
    """Losses of 4 to 15 patterns, with as much noise between windows as it pleases."""
    return st.builds(
        lambda seed, patterns, windows, noise: (
            np.random.default_rng(seed).normal(3, 1, (patterns, 1))
            + np.random.default_rng(seed + 1).normal(0, noise, (patterns, windows))
        ),
        st.integers(0, 10_000),
        st.integers(4, len(PATTERNS)),
        st.integers(1, most_windows),
        st.sampled_from([0.0, 0.01, 0.3, 3.0]),
    )


RACINGS = st.builds(Racing, st.integers(1, 4), st.sampled_from([0.5, 0.8, 0.95, 0.999]))


@pytest.mark.parametrize(
    ("step", "windows", "rungs"),
    [
        (1, 1, []),
        (1, 2, [1]),
        (1, 4, [1, 2, 3]),
        (2, 8, [2, 4, 6]),
        (2, 7, [2, 4, 6]),
        (4, 5, [4]),
        (4, 4, []),
        (9, 4, []),
    ],
)
def test_each_rung_adds_a_step_and_the_last_is_short_of_all_windows(
    step: int, windows: int, rungs: list[int]
) -> None:
    assert list(Racing(step).rungs(windows)) == rungs


@given(windows=st.integers(1, 10_000))
def test_the_default_race_has_some_eight_rungs(windows: int) -> None:
    racing = Racing.over(windows)
    assert racing.step == max(1, windows // 8)
    assert min(7, windows - 1) <= len(racing.rungs(windows)) <= 15


@given(windows=st.integers(1, 10_000), together=st.integers(1, 300))
def test_a_rung_never_ends_among_windows_that_are_computed_together(
    windows: int, together: int
) -> None:
    rungs = Racing.over(windows, together=together).rungs(windows)
    assert all(seen % together == 0 for seen in rungs)
    assert len(rungs) <= 15
    assert len(rungs) >= min(7, (windows - 1) // together)


@pytest.mark.parametrize(
    ("length", "together"), [(2, 128), (16, 16), (100, 2), (128, 2), (256, 1), (300, 1), (9999, 1)]
)
def test_short_windows_are_computed_together(length: int, together: int) -> None:
    assert windows_together(length) == together


@pytest.mark.parametrize("bar", [math.inf, math.nan, -math.inf])
def test_with_a_bar_that_is_not_finite_everyone_is_let_through_unseen(bar: float) -> None:
    known = landscape([[1, 1, 1], [2, 2, 2], [bar, 3, 3], [9, 9, 9], [8, 9, 9]])
    run = held(known)
    assert run.chosen == [0, 1]
    assert run.choice.costs.tolist() == [0, 0]
    assert (run.choice.work, run.counting.asked) == (Work(), [])


@pytest.mark.parametrize("survivors", [1, 2])
def test_where_fewer_survive_than_could_everyone_is_let_through_unseen(survivors: int) -> None:
    known = landscape([[1, 1, 1], [2, 2, 2], [9, 9, 9], [8, 9, 9]])
    run = held(known, survivors=survivors, size=3)
    assert len(run.chosen) == 4 - survivors
    assert run.choice.costs.tolist() == [0] * (4 - survivors)
    assert (run.choice.work, run.counting.asked) == (Work(), [])


@pytest.mark.parametrize(("windows", "step"), [(1, 1), (1, 3), (3, 3), (3, 8)])
def test_where_the_first_rung_would_see_all_windows_everyone_is_let_through_unseen(
    windows: int, step: int
) -> None:
    run = held(landscape([[loss] * windows for loss in (1, 2, 3, 9, 8)]), racing=Racing(step))
    assert run.chosen == [0, 1]
    assert run.choice.costs.tolist() == [0, 0]
    assert (run.choice.work, run.counting.asked) == (Work(), [])


def test_nobody_to_race_is_nobody_chosen() -> None:
    run = held(landscape([[1, 1], [2, 2], [3, 3]]))
    assert (run.choice.chosen, run.choice.costs.shape, run.counting.asked) == ((), (0,), [])


def test_who_is_much_worse_on_the_first_window_is_gone_after_it_and_costs_its_share() -> None:
    run = held(
        landscape([[1.0, 1.1, 0.9, 1.0], [1.2, 1.1, 1.3, 1.2], [1.4, 1.5, 1.3, 1.4], [9] * 4])
    )
    assert run.chosen == []
    assert run.counting.asked == [(PATTERNS[3], 0)]
    alone = walk_costs([PATTERNS[3]], WORK, HEAD_WORK)
    np.testing.assert_allclose(run.choice.costs, alone / 4)


def test_a_doubt_lasts_until_enough_windows_have_been_seen() -> None:
    # Worse by a tenth where survivors differ by a tenth from window to window.
    survivors = [[1.0, 1.2, 1.0, 1.2, 1.0, 1.2], [1.2, 1.0, 1.2, 1.0, 1.2, 1.0], [1.4] * 6]
    run = held(landscape([*survivors, [1.5] * 6, [1.9] * 6]))
    assert run.chosen == []
    first, second = run.seen
    assert 1 < first < 6
    assert second == 1


T = 6.3138  # that 95 % of Student's distribution with one degree of freedom lie below


@pytest.mark.parametrize(
    ("windows", "limit"),
    [(3, T * (1 / 3) ** 0.5), (4, T * (2 / 4) ** 0.5), (8, T * (6 / 8) ** 0.5)],
)
def test_two_windows_are_believed_as_a_t_test_does_the_more_the_less_is_unseen(
    windows: int, limit: float
) -> None:
    # Against a single survivor: worse by m - 1 and m + 1, which has a standard error of 1
    # and less of it where two windows are a good part of all.
    for m, drops_out in ((1.02 * limit, True), (0.98 * limit, False)):
        table = [[1.0] * windows, [m, m + 2, m, *[m + 1] * (windows - 3)]]
        run = held(landscape(table), survivors=1, size=1)
        assert (run.seen == [2] and not run.chosen) == drops_out


def test_one_window_is_believed_by_how_survivors_differ_from_window_to_window() -> None:
    # Two survivors that differ by 2 and 4 in turn have a variance of 4/3; a fourth is seen.
    survivors = [[1.0, 1.0, 1.0, 1.0], [3.0, 5.0, 3.0, 5.0]]
    lose, stay = [3 + 1.02 * T] * 4, [3 + 0.98 * T] * 4
    run = held(landscape([*survivors, lose, stay]), survivors=2, size=2)
    assert run.seen[0] == 1 < run.seen[1]


@given(table=tables(), racing=RACINGS)
def test_who_is_better_on_every_window_is_always_chosen(
    table: NDArray[np.float64], racing: Racing
) -> None:
    bar = max(table[:3].tolist(), key=sum)
    table[3::2] = np.minimum(table[3::2], bar)
    assert set(range(0, len(table) - 3, 2)) <= set(held(landscape(table), racing=racing).chosen)


@given(table=tables(), racing=RACINGS)
def test_those_chosen_are_candidates_in_their_order_and_unjudged(
    table: NDArray[np.float64], racing: Racing
) -> None:
    run = held(landscape(table), racing=racing)
    assert run.chosen == sorted(set(run.chosen))
    chosen = [run.candidates[place] for place in run.chosen]
    assert all(a is b for a, b in zip(run.choice.chosen, chosen, strict=True))
    assert not any(genome.fitness.valid for genome in run.candidates)


@given(table=tables(), racing=RACINGS)
def test_whether_one_drops_out_does_not_depend_on_the_others(
    table: NDArray[np.float64], racing: Racing
) -> None:
    together = held(landscape(table), racing=racing)
    alone = [held(landscape(table), racing=racing, only=i) for i in range(len(table) - 3)]
    assert together.chosen == [place for place, run in enumerate(alone) if run.chosen]
    assert together.seen == [run.seen[0] for run in alone]


@given(table=tables(), step=st.integers(1, 3))
def test_more_confidence_lets_more_through(table: NDArray[np.float64], step: int) -> None:
    by_confidence = [
        set(held(landscape(table), racing=Racing(step, confidence)).chosen)
        for confidence in (0.5, 0.8, 0.95, 0.999)
    ]
    for bold, careful in itertools.pairwise(by_confidence):
        assert bold <= careful


# Sums of these are exact, so that a difference is the same in each window to the last bit.
EXACT = st.integers(0, 32).map(lambda n: 1 + n / 8)


@given(
    levels=st.lists(EXACT, min_size=4, max_size=len(PATTERNS)),
    windows=st.lists(EXACT, min_size=2, max_size=8),
    size=st.integers(2, 3),
    step=st.integers(1, 3),
)
def test_where_all_windows_tell_the_same_exactly_those_worse_than_the_bar_drop_out(
    levels: list[float], windows: list[float], size: int, step: int
) -> None:
    table = np.array(levels)[:, None] + np.array(windows)
    run = held(landscape(table), survivors=size, size=size, racing=Racing(step))
    bar = max(levels[:size])
    rungs = Racing(step).rungs(len(windows))
    better = [level <= bar or not rungs for level in levels[size:]]
    assert run.chosen == [place for place, is_in in enumerate(better) if is_in]
    furthest = rungs[-1] if rungs else 0
    assert run.seen == [furthest if is_in else step for is_in in better]


def test_a_single_survivor_is_a_bar_once_two_windows_tell_how_they_differ() -> None:
    run = held(landscape([[1] * 4, [2] * 4, [1] * 4]), survivors=1, size=1)
    assert run.chosen == [1]
    assert run.seen == [2, 3]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("window", range(5))
def test_a_part_that_fails_drops_out_at_the_rung_that_sees_it(
    window: int, step: int, bad: float
) -> None:
    table = [[1.0, 1.1, 1.2, 1.1, 1.0], [1.3] * 5, [1.5] * 5, [0.5] * 5, [0.7] * 5]
    table[3][window] = bad
    run = held(landscape(table), racing=Racing(step))
    rungs = [1, 2, 3, 4] if step == 1 else [2, 4]
    at = next((seen for seen in rungs if window < seen), None)
    assert run.chosen == ([1] if at is not None else [0, 1])
    assert run.seen == [at or rungs[-1], rungs[-1]]
    # Where no rung sees it, the full evaluation does.
    if at is None:
        losses = run.evaluator.evaluate([run.candidates[0].pattern]).losses
        assert losses.tolist() == [math.inf]


def test_a_part_that_fails_drops_out_even_where_nothing_is_known_of_the_spread() -> None:
    run = held(landscape([[1, 1], [math.inf, 1], [9, 9]]), survivors=1, size=1)
    assert run.chosen == [1]


@given(table=tables(), racing=RACINGS)
def test_a_window_of_a_pattern_is_paid_for_once_and_costs_and_work_add_up(
    table: NDArray[np.float64], racing: Racing
) -> None:
    run = held(landscape(table), racing=racing)
    windows = table.shape[1]
    assert run.choice.work.block_tokens == sum(run.seen) == len(run.counting.asked)
    charged = run.choice.costs > 0
    assert charged.tolist() == [seen > 0 for seen in run.seen]
    again = run.evaluator.evaluate([genome.pattern for genome in run.choice.chosen])
    assert len(set(run.counting.asked)) == len(run.counting.asked)
    total = run.choice.work.block_tokens + again.work.block_tokens
    assert total == sum(run.seen) == len(run.counting.asked)
    assert all(run.seen[place] == windows for place in run.chosen)
    # Who loses has not seen all windows, or racing has not saved a thing.
    lost = set(range(len(run.candidates))) - set(run.chosen)
    assert all(run.seen[place] < windows for place in lost)


@given(table=tables(), racing=RACINGS)
def test_what_a_race_costs_is_the_sum_of_what_its_rungs_cost(
    table: NDArray[np.float64], racing: Racing
) -> None:
    run = held(landscape(table), racing=racing)
    expected = np.zeros(len(run.candidates))
    before = 0
    for seen in racing.rungs(table.shape[1]):
        # A rung judges together whoever is still there, and only on the windows that it adds.
        racers = [place for place, count in enumerate(run.seen) if count >= seen]
        patterns = [run.candidates[place].pattern for place in racers]
        share = (seen - before) / table.shape[1]
        expected[racers] += walk_costs(patterns, WORK, HEAD_WORK) * share
        before = seen
    np.testing.assert_allclose(run.choice.costs, expected)


def test_what_is_known_beforehand_races_for_nothing() -> None:
    known = landscape([[1, 1, 1], [2, 2, 2], [3, 3, 3], [9, 9, 9], [1, 2, 1]])
    counting = Counting(TabularEvaluator(known))
    evaluator = CachedEvaluator(counting)
    population = [_judged(p, loss) for p, loss in zip(PATTERNS[:3], (1.0, 2.0, 3.0), strict=True)]
    evaluator.evaluate(PATTERNS[:5])
    counting.asked.clear()
    candidates = list(map(Genome, PATTERNS[3:5]))
    choice = race(candidates, population, evaluator=evaluator, racing=Racing(1), size=3)
    assert choice.chosen == (candidates[1],)
    assert (choice.costs.tolist(), choice.work, counting.asked) == ([0, 0], Work(), [])


def test_survivors_beyond_the_size_do_not_count() -> None:
    known = landscape([[1, 1, 1], [2, 2, 2], [9, 9, 9], [3, 3, 3], [1.5] * 3])
    assert held(known, survivors=3, size=2).chosen == [1]
    assert held(known, survivors=3, size=3).chosen == [0, 1]


# A real landscape: every pattern that drops three of the demo model's upper 22 blocks.


@cache
def known_landscape() -> Landscape:
    return load_landscape(KNOWN)


def search(seed: int, *, raced: bool) -> EvolutionState:
    known = known_landscape()
    space = SearchSpace(known.units, n_drop=3, protected=frozenset(range(8)))
    evaluator = CachedEvaluator(TabularEvaluator(known))
    racing = "on" if raced else "off"
    settings = EvolutionSettings(population=8, offspring=16, surrogate="none", racing=racing)
    return assemble(space, evaluator, random.Random(seed), settings).run(Stopping(generations=12))


def test_a_raced_search_of_a_real_landscape_finds_the_same_for_much_less() -> None:
    full = [search(seed, raced=False) for seed in range(6)]
    raced = [search(seed, raced=True) for seed in range(6)]
    assert [s.best.pattern for s in raced] == [s.best.pattern for s in full]
    assert [s.evaluations for s in raced] == [s.evaluations for s in full]
    assert sum(s.cost for s in raced) < 0.65 * sum(s.cost for s in full)


@pytest.mark.parametrize("seed", range(3))
def test_a_race_in_a_real_landscape_seldom_loses_one_that_would_have_survived(seed: int) -> None:
    known, rng = known_landscape(), np.random.default_rng(seed)
    evaluator = CachedEvaluator(TabularEvaluator(known))
    losses = dict(zip(known.rows, known.losses.tolist(), strict=True))
    right = would_survive = 0
    for _ in range(60):
        drawn = [list(losses)[row] for row in rng.choice(len(losses), 24, replace=False)]
        population = sorted((_judged(p, losses[p]) for p in drawn[:8]), key=lambda g: g.loss)
        choice = race(
            list(map(Genome, drawn[8:])),
            population,
            evaluator=evaluator,
            racing=Racing.over(len(known.tokens)),
            size=8,
        )
        chosen = {genome.pattern for genome in choice.chosen}
        better = [p for p in drawn[8:] if losses[p] < population[-1].loss]
        would_survive += len(better)
        right += sum(p in chosen for p in better)
    assert right > 0.99 * would_survive > 0
