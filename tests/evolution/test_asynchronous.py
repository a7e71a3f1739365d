"""A search whose patterns finish in any order: what must hold whatever the order is."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_background import Ordered
from toy_landscapes import toy_landscape

from evop_deap.evolution.assemble import Search, assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import EXHAUSTED, Stopping
from evop_deap.evolution.strategies import Seeds
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.in_flight import InFlight
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.space import Pattern, SearchSpace

LANDSCAPE = toy_landscape(0, units=9, drops=(0, 3))
SPACE = SearchSpace(LANDSCAPE.units, n_drop=3)
TABLE = TabularEvaluator(LANDSCAPE)
PLAIN = EvolutionSettings(surrogate="none")
LIMITS = st.builds(Stopping, st.integers(0, 4), st.none() | st.integers(1, 20))


def opened(
    ordered: Ordered,
    settings: EvolutionSettings = PLAIN,
    seed: int = 0,
    begin: Callable[[], Seeds] = Seeds,
) -> tuple[Search, CachedEvaluator]:
    cached = CachedEvaluator(ordered)
    cached.evaluate([SPACE.dense])
    flight = InFlight(cached, ordered.background)
    rng = random.Random(seed)
    return assemble(SPACE, cached, rng, settings, begin=begin, flight=flight), cached


def by_chance(seed: int, places: int = 3) -> Ordered:
    return Ordered(TABLE, random.Random(seed).randrange, places)


def timeless(state: EvolutionState) -> EvolutionState:
    return dataclasses.replace(state, seconds=0.0)


@settings(max_examples=30)
@given(data=st.data(), places=st.integers(1, 9), stopping=LIMITS)
def test_in_any_order_no_pattern_is_evaluated_twice_and_limits_are_met_exactly(
    data: st.DataObject, places: int, stopping: Stopping
) -> None:
    ordered = Ordered(TABLE, lambda count: data.draw(st.integers(0, count - 1)), places)
    states: list[EvolutionState] = []
    search, cached = opened(ordered)
    state = search.run(stopping, callbacks=[states.append])
    assert ordered.asked[1:] == list(state.losses)  # in the order of finishing
    assert len({*ordered.asked}) == len(ordered.asked)
    assert all(pattern in SPACE for pattern in state.losses)
    expected = TABLE.evaluate(list(state.losses)).losses.tolist()
    assert [*state.losses.values()] == expected
    assert [*cached.rows] == ordered.asked
    most = PLAIN.population + (stopping.generations or 0) * PLAIN.offspring
    assert state.evaluations == min(most, stopping.evaluations or most)
    assert ordered.most <= places
    assert [now.generation for now in states] == list(range(len(states)))
    assert timeless(states[-1]) == timeless(state)
    best = sorted(state.losses.values())[: PLAIN.population]
    assert [individual.loss for individual in state.population] == best


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), at=st.integers(0, 4), places=st.integers(1, 6))
def test_a_state_holds_finished_patterns_alone_and_a_search_goes_on_from_it(
    seed: int, at: int, places: int
) -> None:
    states: list[EvolutionState] = []
    search, _ = opened(by_chance(seed, places), seed=seed)
    whole = search.run(Stopping(generations=5), callbacks=[states.append])
    assert len(states[at].losses) == PLAIN.population + at * PLAIN.offspring
    ordered = by_chance(seed + 1, places)
    resumed, cached = opened(ordered, seed=1)
    cached.evaluate([*states[at].losses])
    before = len(ordered.asked)
    state = resumed.run(Stopping(generations=5), states[at])
    assert state.evaluations == whole.evaluations
    assert [*state.losses] == [*states[at].losses, *ordered.asked[before:]]
    assert state.records[: at + 1] == states[at].records


def test_with_one_place_the_order_is_known_so_the_result_is_too() -> None:
    first, second = (opened(by_chance(seed, places=1))[0] for seed in (0, 1))
    stopping, states = Stopping(generations=6), list[EvolutionState]()
    whole = timeless(first.run(stopping, callbacks=[states.append]))
    assert timeless(second.run(stopping)) == whole
    resumed, cached = opened(by_chance(2, places=1), seed=5)
    cached.evaluate([*states[2].losses])
    assert timeless(resumed.run(stopping, states[2])) == whole


def test_a_search_says_what_its_surrogate_expected_and_ends_when_it_is_sure() -> None:
    ordered = by_chance(0)
    search, _ = opened(ordered, EvolutionSettings())
    state = search.run(Stopping(sure=0.95))
    assert state.stopped is not None
    assert state.stopped.startswith("when 9")
    assert state.prospect.chance <= 0.05
    assert "trusted" not in state.records[0]
    assert all({"fit", "foreseen", "chance"} <= row.keys() for row in state.records[2:])
    assert ordered.running == {}  # what was in flight is dropped


def test_a_generation_without_a_choice_of_its_own_makes_a_search_no_more_sure() -> None:
    states: list[EvolutionState] = []
    ordered = Ordered(TABLE, lambda count: count - 1, places=16)  # all finish together
    search, _ = opened(ordered, EvolutionSettings(surrogate="linear"))
    search.run(Stopping(generations=8), callbacks=[states.append])
    rows = states[-1].records
    assert ["chance" in row for row in rows] == [False] * 4 + [True] * 5
    for generation in (5, 6, 7):  # chosen together with those of generation 4
        assert rows[generation]["chance"] == states[generation - 1].prospect.chance


def test_a_small_space_is_evaluated_to_its_end() -> None:
    space = SearchSpace(LANDSCAPE.units, 3, protected=frozenset(range(4)))
    ordered = by_chance(0, places=20)
    cached = CachedEvaluator(ordered)
    flight = InFlight(cached, ordered.background)
    search = assemble(space, cached, random.Random(0), PLAIN, flight=flight)
    state = search.run(Stopping())
    assert state.stopped == EXHAUSTED
    assert len(state.losses) == space.size == len(ordered.asked)


def test_losses_that_are_known_are_not_evaluated_again() -> None:
    ordered = by_chance(0)
    search, cached = opened(ordered)
    everything = [tuple(row) for row in LANDSCAPE.patterns.tolist()]
    cached.restore(dict(zip(everything, LANDSCAPE.sums, strict=True)))
    state = search.run(Stopping(generations=3))
    assert ordered.asked == [SPACE.dense]
    assert state.cache_hits == state.evaluations == 16
    assert state.cost == 0.0


def test_losses_that_another_search_has_paid_for_are_charged_and_not_evaluated() -> None:
    ordered = by_chance(0)

    class Paid:
        """Knows the losses of half of the patterns."""

        def evaluate(
            self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
        ) -> Evaluation:
            known = all(pattern[0] for pattern in patterns)
            return (TABLE if known else ordered).evaluate(patterns, windows)

    cached = CachedEvaluator(Paid())
    flight = InFlight(cached, ordered.background)
    state = assemble(SPACE, cached, random.Random(0), PLAIN, flight=flight).run(Stopping(6))
    assert 0 < len(ordered.asked) < state.evaluations == 28
    assert not any(pattern[0] for pattern in ordered.asked)
    assert state.cost == pytest.approx(sum(TABLE.evaluate([p]).cost for p in state.losses))
    assert [*cached.rows] == [*state.losses]


def test_windows_that_are_known_are_not_evaluated_again() -> None:
    ordered, parts = by_chance(0), list[object]()
    search, cached = opened(ordered)
    everything = [tuple(row) for row in LANDSCAPE.patterns.tolist()]
    half = LANDSCAPE.sums.copy()
    half[:, 2:] = float("nan")
    cached.restore({p: row for p, row in zip(everything, half, strict=True) if p != SPACE.dense})
    begin = ordered.begin
    ordered.begin = lambda p, windows: parts.append(windows) or begin(p, windows)  # type: ignore[method-assign, func-returns-value]
    state = search.run(Stopping(generations=1))
    assert parts == [[2, 3]] * 8
    assert [*state.losses.values()] == TABLE.evaluate([*state.losses]).losses.tolist()


def test_seeds_come_first_and_their_known_losses_count() -> None:
    picks = [SPACE.pattern(drops) for drops in ((0, 1, 2), (3, 4, 5))]
    loss = float(TABLE.evaluate(picks[:1]).losses[0])
    picked, work = {"one": picks[0], "two": picks[1]}, Work(executed=50.0)
    seeds = Seeds(picked, losses={picks[0]: loss}, cost=1.5, work=work)
    ordered = by_chance(0)
    search, _ = opened(ordered, begin=lambda: seeds)
    state = search.run(Stopping(generations=0))
    assert picks[0] not in ordered.asked
    assert picks[1] in ordered.asked
    assert state.picks == seeds.picks
    assert state.evaluations == 1 + PLAIN.population
    assert state.cost > 1.5
    assert state.work.executed > 50.0


def test_stagnation_draws_all_but_the_best_afresh() -> None:
    states: list[EvolutionState] = []
    settings = dataclasses.replace(PLAIN, restart=1)
    opened(by_chance(0), settings)[0].run(Stopping(generations=12), callbacks=[states.append])
    began = [now for now in states if now.restarted == now.generation > 0]
    assert began
    for now in began:
        before = states[now.generation - 1]
        new = [*now.losses][len(before.losses) :]
        assert {genome.pattern for genome in now.population} <= {before.best.pattern, *new}


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_losses_that_another_search_stores_meanwhile_are_taken(
    seed: int, data: st.DataObject
) -> None:
    """The store may know some windows of a pattern that it did not know when it was begun."""
    ordered = by_chance(seed)
    search, cached = opened(ordered)
    rows = dict(zip(map(tuple, LANDSCAPE.patterns.tolist()), LANDSCAPE.sums, strict=True))
    end = ordered.ended

    def ended() -> object:
        found = end()
        known = data.draw(st.sampled_from([0, 1, 4]))
        for pattern in ordered.asked[-1:]:
            row = rows[pattern].copy()
            row[known:] = float("nan")
            if known:
                cached.restore({pattern: row})
        return found

    ordered.ended = ended  # type: ignore[method-assign, assignment]
    state = search.run(Stopping(generations=2))
    assert state.evaluations == 12
    assert [*state.losses.values()] == TABLE.evaluate([*state.losses]).losses.tolist()
