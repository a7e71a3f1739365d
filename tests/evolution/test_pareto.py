"""Loss against size: the front, its hypervolume, and a search that goes on where it ended."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from deap import tools
from hypothesis import given
from hypothesis import strategies as st
from toy_landscapes import toy_landscape

from evop_deap import EvolutionSettings, EvolutionState, Stopping
from evop_deap.base.errors import InputError
from evop_deap.evolution.assemble import assemble_front
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.nsga2 import FrontSurvival
from evop_deap.evolution.operators import mutate_resize, select_crowded
from evop_deap.evolution.stopping import EXHAUSTED
from evop_deap.evolution.trade import Member, Trade, best_within, front_of
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.space import SearchSpace, Unit, dropped_units

LANDSCAPE = toy_landscape(3, units=9, drops=(0, 1, 2, 3, 4))
SPACE = SearchSpace(LANDSCAPE.units, n_drop=4, protected=frozenset())
TRADE = Trade(SPACE, tuple(float(10 + unit) for unit in range(9)), fixed=100.0)
SETTINGS = EvolutionSettings(
    population=12, offspring=12, mutation=0.5, tournament=2, neighbour=0.25, more_swaps=0.3
)


def searched(seed: int, settings: EvolutionSettings = SETTINGS, **limits: int) -> EvolutionState:
    search = assemble_front(TRADE, TabularEvaluator(LANDSCAPE), random.Random(seed), settings)
    return search.run(Stopping(**limits))


@pytest.mark.parametrize("seed", range(3))
def test_patterns_are_new_within_the_budget_and_the_volume_never_falls(seed: int) -> None:
    state = searched(seed, generations=6)
    assert state.evaluations == len(state.losses) == 12 + 6 * 12
    assert {len(dropped_units(pattern)) for pattern in state.losses} == {1, 2, 3, 4}
    volumes = [record["hypervolume"] for record in state.records]
    assert volumes == sorted(volumes)
    assert volumes[-1] > volumes[0]


def test_the_front_is_what_no_pattern_evaluated_beats_in_both() -> None:
    state = searched(0, generations=5)
    points = {p: (loss, TRADE.size(p)) for p, loss in state.losses.items()}
    best = {
        pattern
        for pattern, (loss, size) in points.items()
        if not any(a <= loss and b <= size and (a, b) != (loss, size) for a, b in points.values())
    }
    front = front_of(state, TRADE)
    assert {member.pattern for member in front} == best
    assert best_within(state, 2) == min(
        (p for p in points if p.count(0) >= 2), key=lambda p: points[p][0]
    )
    assert best_within(state, 7) is None


def test_the_volume_is_the_area_up_to_the_reference_point() -> None:
    trade = Trade(SearchSpace(LANDSCAPE.units[:3], n_drop=2), (1.0, 1.0, 1.0))
    table = TabularEvaluator({(0, 1, 1): 2.0, (0, 0, 1): 5.0}, missing=9.0)
    settings = EvolutionSettings(population=6, offspring=6)
    state = assemble_front(trade, table, random.Random(0), settings).run(Stopping(generations=3))
    # From 2 nats at size 2 and 5 at size 1, up to 9 nats and the dense size of 3.
    assert len(state.losses) == 6
    assert state.records[0]["reference_loss"] in (9.0, 5.0)
    assert state.records[-1]["reference_size"] == 3.0
    if state.records[0]["reference_loss"] == 9.0:
        assert state.records[-1]["hypervolume"] == pytest.approx(7 + 4)


def test_the_reference_is_of_the_first_generation_with_a_finite_loss() -> None:
    trade = Trade(SearchSpace(LANDSCAPE.units[:3], n_drop=2), (1.0, 1.0, 1.0))
    survival = FrontSurvival(trade)
    first = survival.columns({(0, 1, 1): math.inf}, [])
    assert (first["reference_loss"], first["hypervolume"]) == (None, 0.0)
    second = survival.columns({(0, 1, 1): 2.0, (0, 0, 1): 5.0}, [first])
    assert second["reference_loss"] == 5.0
    assert second["hypervolume"] > 0
    third = survival.columns({(0, 1, 1): 2.0, (0, 0, 1): 9.0}, [first, second])
    assert third["reference_loss"] == 5.0


def test_a_search_that_goes_on_ends_like_one_that_never_stopped() -> None:
    whole, part = searched(1, generations=6), searched(1, generations=2)
    loaded = replace(
        part, population=tuple(Genome(m.pattern, loss=m.loss) for m in part.population)
    )
    search = assemble_front(TRADE, TabularEvaluator(LANDSCAPE), random.Random(99), SETTINGS)
    resumed = search.run(Stopping(generations=6), loaded)
    assert list(resumed.losses.items()) == list(whole.losses.items())
    assert resumed.records == whole.records
    assert [m.pattern for m in resumed.population] == [m.pattern for m in whole.population]


def test_a_long_search_finds_the_true_front_and_a_third_of_the_patterns_half_of_it() -> None:
    state = searched(2, generations=200)
    everything = {p: float(LANDSCAPE.losses[row]) for p, row in LANDSCAPE.rows.items() if 0 in p}
    true = {member.pattern for member in front_of(replace(state, losses=everything), TRADE)}
    assert {member.pattern for member in front_of(state, TRADE)} == true
    assert state.stopped == EXHAUSTED
    for seed in range(3):
        state = searched(seed, evaluations=len(everything) // 3)
        assert len({m.pattern for m in front_of(state, TRADE)} & true) >= len(true) / 2


@given(st.randoms(use_true_random=False), st.integers(1, 6), st.integers(1, 6))
def test_resizing_changes_one_unit_and_stays_between_one_and_the_most(
    rng: random.Random, drops: int, most: int
) -> None:
    units = tuple(Unit(str(i), 1, 1) for i in range(9))
    space = SearchSpace(units, n_drop=min(drops, most), protected=frozenset({0, 4}))
    before = space.pattern(rng.sample(space.droppable, space.n_drop))
    (after,) = mutate_resize(Genome(before), rng=rng, droppable=space.droppable, most=most)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == (1 if most > 1 else 0)
    assert 1 <= after.pattern.count(0) <= most
    assert after[0] == after[4] == 1


@pytest.mark.parametrize(
    "changes", [{"tournament": 6}, {"neighbour": 0.9}, {"more_swaps": 0.8}, {"crossover": 0.1}]
)
def test_a_search_for_a_front_obeys_the_settings_of_the_operators(
    changes: dict[str, Any],
) -> None:
    usual = searched(0, generations=4)
    changed = searched(0, replace(SETTINGS, **changes), generations=4)
    assert list(changed.losses)[:12] == list(usual.losses)[:12]
    assert list(changed.losses) != list(usual.losses)


def test_a_large_tournament_selects_who_is_beaten_by_nobody() -> None:
    members = [Member([1, 0], loss=loss, size=1.0) for loss in (3.0, 1.0, 2.0)]
    ranked = tools.selNSGA2(members, 3)
    for tournsize, expected in ((1, {1.0, 2.0, 3.0}), (50, {1.0})):
        rng = random.Random(0)
        winners = select_crowded(ranked, 100, tournsize=tournsize, rng=rng)
        assert {winner.loss for winner in winners} == expected


def test_a_loss_that_is_no_number_dominates_nothing() -> None:
    lost, other = Member([0], loss=float("nan"), size=1), Member([1], loss=2.0, size=1)
    assert other.fitness.dominates(lost.fitness)
    assert not lost.fitness.dominates(other.fitness)


def test_only_plain_counts_can_be_traded() -> None:
    pairs = SearchSpace(LANDSCAPE.units, n_drop=2, pairs=frozenset({1, 3}))
    with pytest.raises(InputError, match="`space` must have a plain count"):
        Trade(pairs, (1.0,) * 9)


def test_the_front_is_searched_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import evop_deap.evolution.nsga2"
    subprocess.run([sys.executable, "-c", code], check=True)
