"""A search that learns: what is preferred, what is said of it, and that it stays a search."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import EXHAUSTED, Stopping
from evop_deap.evolution.strategies import Breed
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.landscape import Landscape, load_landscape
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.space import Pattern, SearchSpace, Unit, dropped_units
from evop_deap.surrogate.explanation import explain
from evop_deap.surrogate.first_population import init_balanced
from evop_deap.surrogate.kernel import as_drops
from evop_deap.surrogate.observations import observe
from evop_deap.surrogate.preference import Surrogate, fitted_on, prefer, surrogate_of

KNOWN = Path(__file__).parents[2] / "benchmarks" / "landscapes" / "demo.blocks.8-29.npz"
UNITS = tuple(Unit(str(i), 10, 10) for i in range(12))
SPACE = SearchSpace(UNITS, n_drop=3)
PATTERNS = [SPACE.pattern(dropped) for dropped in itertools.combinations(range(12), 3)]
GP = Surrogate()
COSTS = np.array([4.0, 3.0, 2.0, 1.0, 0.5, 0.6, 0.7, 0.2, 0.3, 0.9, 2.0, 5.0])


def additive(pattern: Pattern) -> float:
    """A loss whose excess over 1 is a product: 7 and 8 are the cheapest, and worse together."""
    dropped = dropped_units(pattern)
    together = 2.0 if {7, 8} <= set(dropped) else 0.0
    return 1.0 + math.exp(COSTS[list(dropped)].sum() / 3 + together)


def table(loss: dict[Pattern, float] | None = None) -> CachedEvaluator:
    losses = loss or {pattern: additive(pattern) for pattern in PATTERNS}
    evaluator = CachedEvaluator(TabularEvaluator({SPACE.dense: 1.0, **losses}))
    evaluator.evaluate([SPACE.dense])
    return evaluator


def search(
    stopping: Stopping,
    *,
    seed: int = 0,
    evaluator: CachedEvaluator | None = None,
    state: EvolutionState | None = None,
    surrogate: str = "gp",
) -> EvolutionState:
    settings = EvolutionSettings(
        population=6, offspring=4, proposals=12, surrogate=surrogate, racing="off"
    )
    return assemble(SPACE, evaluator or table(), random.Random(seed), settings).run(stopping, state)


@given(st.integers(1, 11), st.integers(1, 40), st.integers(0, 10**6))
@example(4, 11, 1_000_000)  # the last cards of a pack are a hand that was dealt before
def test_a_balanced_population_drops_every_unit_as_often(
    n_drop: int, count: int, seed: int
) -> None:
    space = SearchSpace(UNITS, n_drop, protected=frozenset({0} if n_drop < 11 else ()))
    population = init_balanced(space, count, rng=random.Random(seed))
    patterns = [genome.pattern for genome in population]
    assert len(set(patterns)) == len(patterns)
    # Chance may overlook the last few of a small space.
    assert len(patterns) == count or count > space.size / 2
    assert all(pattern in space for pattern in patterns)
    counts = Counter(unit for pattern in patterns for unit in dropped_units(pattern))
    often = [counts[unit] for unit in space.droppable]
    if count <= space.size / 20:
        assert max(often) - min(often) <= 1


HALVES = tuple(Unit(f"{block}.{kind}", 1, 1) for block in range(12) for kind in ("attn", "mlp"))


@given(st.integers(1, 11), st.integers(1, 12), st.integers(0, 10**6))
def test_of_halves_a_balanced_population_drops_each_as_often_and_even_numbers_as_blocks(
    n_drop: int, count: int, seed: int
) -> None:
    space = SearchSpace(HALVES, n_drop)
    population = init_balanced(space, min(count, 12), rng=random.Random(seed))
    assert len({genome.pattern for genome in population}) == len(population) == min(count, 12)
    for genome in population if n_drop % 2 == 0 else ():
        gone = set(dropped_units(genome.pattern))
        assert all(gone.isdisjoint(block) or gone.issuperset(block) for block in space.blocks)
    counts = Counter(unit for genome in population for unit in dropped_units(genome.pattern))
    often = [counts[unit] for unit in space.droppable]
    assert max(often) - min(often) <= 1


def test_a_balanced_population_of_more_than_there_are_whole_blocks_goes_on_with_halves() -> None:
    space = SearchSpace(HALVES, 2)
    population = init_balanced(space, 40, rng=random.Random(0))
    patterns = [dropped_units(genome.pattern) for genome in population]
    assert len(set(patterns)) == 40
    assert set(space.blocks) <= set(patterns)


def test_what_is_preferred_is_better_than_what_was_proposed() -> None:
    evaluator, rng = table(), random.Random(0)
    evaluator.evaluate(rng.sample(PATTERNS, 30))
    proposals = [Genome(p) for p in PATTERNS if p not in evaluator.rows]
    found = prefer(proposals, 8, surrogate=Surrogate(), evaluator=evaluator, space=SPACE)
    assert found.foresight is not None
    assert found.foresight.trusted
    assert found.foresight.fit > 0.4
    losses = [additive(genome.pattern) for genome in found.chosen]
    assert np.mean(losses) < np.quantile([additive(g.pattern) for g in proposals], 0.1)
    assert np.all(found.foresight.low < found.foresight.expected)
    assert np.all(found.foresight.expected < found.foresight.high)


def test_from_the_second_round_on_proposals_are_bred_from_those_that_promise_most() -> None:
    evaluator, rng = table(), random.Random(0)
    evaluator.evaluate(rng.sample(PATTERNS, 30))
    unseen = [Genome(p) for p in PATTERNS if p not in evaluator.rows]
    calls: list[tuple[list[Genome], int]] = []

    def propose(parents: Sequence[Genome], known: Collection[Pattern], count: int) -> list[Genome]:
        calls.append((list(parents), count))
        assert {*evaluator.rows} < {*known}
        others = [genome for genome in unseen if genome.pattern not in known]
        return sorted(others, key=lambda genome: additive(genome.pattern))[: count // 2]

    breed = Breed(evaluator.rows, propose)
    bred = prefer(unseen[:20], 4, breed, surrogate=GP, evaluator=evaluator, space=SPACE)
    assert [count for _, count in calls] == [20] * (GP.rounds - 1)
    for parents, _ in calls:
        bounds = [parent.loss for parent in parents]
        assert bounds == sorted(bounds)
    alone = prefer(unseen[:20], 4, surrogate=GP, evaluator=evaluator, space=SPACE)
    mean_of = {
        name: np.mean([additive(genome.pattern) for genome in found.chosen])
        for name, found in (("bred", bred), ("alone", alone))
    }
    assert mean_of["bred"] < mean_of["alone"]


def test_swaps_lead_to_what_no_operator_proposed_and_nobody_has_seen() -> None:
    evaluator, rng = table(), random.Random(0)
    evaluator.evaluate(rng.sample(PATTERNS, 30))
    unseen = sorted((p for p in PATTERNS if p not in evaluator.rows), key=additive)
    worst = list(map(Genome, unseen[-20:]))
    barren = Breed(evaluator.rows, lambda parents, known, count: [])
    found = prefer(worst, 4, barren, surrogate=GP, evaluator=evaluator, space=SPACE)
    chosen = [genome.pattern for genome in found.chosen]
    assert len({*chosen}) == 4
    assert {*chosen} <= {*unseen}
    assert max(map(additive, chosen)) < additive(unseen[len(unseen) // 4])


def test_pending_patterns_count_as_known_with_the_losses_expected_and_are_within_reach() -> None:
    evaluator, rng = table(), random.Random(0)
    evaluator.evaluate(rng.sample(PATTERNS, 30))
    proposals = [Genome(p) for p in PATTERNS if p not in evaluator.rows]
    together = prefer(proposals, 6, surrogate=GP, evaluator=evaluator, space=SPACE)
    assert together.foresight is not None
    for pending in (1, 5):
        known = tuple(genome.pattern for genome in together.chosen[:pending])
        others = [genome for genome in proposals if genome.pattern not in known]
        # So that the choice is among the proposals, no further ones are bred.
        seen = {*evaluator.rows, *PATTERNS}
        barren = Breed(seen, lambda parents, known, count: [], pending=known)
        later = prefer(others, 6 - pending, barren, surrogate=GP, evaluator=evaluator, space=SPACE)
        assert [g.pattern for g in later.chosen] == [g.pattern for g in together.chosen[pending:]]
        assert later.foresight is not None
        np.testing.assert_allclose(later.foresight.expected, together.foresight.expected[pending:])
        chance = together.foresight.prospect.chance
        assert later.foresight.prospect.chance == pytest.approx(chance)


def test_the_exploration_weight_grows_while_nothing_better_is_seen_in_the_space() -> None:
    fewer = SearchSpace(UNITS, n_drop=2).pattern((0, 1))
    ranked = sorted(PATTERNS, key=additive)
    losses = {pattern: additive(pattern) for pattern in PATTERNS} | {fewer: 1.0001}

    def after(*patterns: Pattern) -> float:
        evaluator = table(losses)
        evaluator.evaluate(patterns)
        return GP.exploration_weight_after(
            observe(evaluator.rows, evaluator.tokens, SPACE.dense), SPACE
        )

    assert after(*ranked[9::-1]) == GP.exploration_weight
    assert after(fewer, *ranked[9::-1]) == GP.exploration_weight
    assert after(*ranked[:5]) == pytest.approx(GP.exploration_weight + 4 * GP.exploration_growth)
    assert after(*ranked) == GP.exploration_limit


def test_means_and_variances_are_those_of_the_whole_covariance() -> None:
    evaluator = table()
    evaluator.evaluate(PATTERNS[::9])
    seen = observe(evaluator.rows, evaluator.tokens, SPACE.dense)
    process = GP.learn(seen, SPACE)
    drops = as_drops(PATTERNS[::7])
    mean, covariance = process.predict(drops)
    alone = process.foresee(drops)
    np.testing.assert_allclose(alone[0], mean)
    np.testing.assert_allclose(alone[1], np.diagonal(covariance), rtol=1e-6, atol=1e-12)


def test_the_same_losses_give_the_same_answer() -> None:
    evaluator = table()
    evaluator.evaluate(PATTERNS[::9])
    proposals = [Genome(p) for p in PATTERNS if p not in evaluator.rows]
    first, again = (
        prefer(proposals, 8, surrogate=Surrogate(), evaluator=evaluator, space=SPACE)
        for _ in range(2)
    )
    assert first.chosen == again.chosen


def test_where_losses_are_noise_the_first_proposals_are_taken_and_it_is_said() -> None:
    proposals = [Genome(pattern) for pattern in PATTERNS[60:]]
    untrusted = 0
    for seed in range(10):
        rng = random.Random(seed)
        evaluator = table({pattern: 2.0 + rng.random() for pattern in PATTERNS})
        evaluator.evaluate(PATTERNS[:40])
        found = prefer(proposals, 5, surrogate=GP, evaluator=evaluator, space=SPACE)
        assert found.foresight is not None
        assert found.foresight.trusted == (found.foresight.fit > 0)
        if not found.foresight.trusted:
            untrusted += 1
            assert list(found.chosen) == proposals[:5]
    # The mean of the others is the lower the higher what was left out: noise is seen through.
    assert untrusted > 5


def test_before_anything_is_known_the_first_proposals_are_taken() -> None:
    proposals = list(map(Genome, PATTERNS[:9]))
    found = prefer(proposals, 4, surrogate=Surrogate(), evaluator=table(), space=SPACE)
    assert list(found.chosen) == proposals[:4]
    assert found.foresight is None


def test_fewer_proposals_than_wanted_are_all_taken() -> None:
    evaluator = table()
    evaluator.evaluate(PATTERNS[:50])
    proposals = list(map(Genome, PATTERNS[60:63]))
    found = prefer(proposals, 8, surrogate=Surrogate(), evaluator=evaluator, space=SPACE)
    assert {genome.pattern for genome in found.chosen} == set(PATTERNS[60:63])


def test_the_search_needs_fewer_evaluations_than_without() -> None:
    best = min(additive(pattern) for pattern in PATTERNS)
    with_, without = (
        sum(
            search(Stopping(evaluations=34), seed=seed, surrogate=surrogate).best.loss == best
            for seed in range(20)
        )
        for surrogate in ("gp", "none")
    )
    assert with_ > without


def test_a_search_goes_on_until_every_pattern_was_evaluated() -> None:
    state = search(Stopping(evaluations=10_000))
    assert 0.9 * SPACE.size < len(state.losses) <= SPACE.size
    assert state.stopped == EXHAUSTED


@pytest.mark.parametrize("interrupted_at", [0, 1, 3])
def test_a_search_continued_from_any_generation_ends_like_an_uninterrupted_one(
    interrupted_at: int,
) -> None:
    whole = search(Stopping(generations=5))
    evaluator = table()
    part = search(Stopping(generations=interrupted_at), evaluator=evaluator)
    restored = table()
    restored.restore(evaluator.rows)
    rest = search(Stopping(generations=5), seed=9, evaluator=restored, state=part)
    timeless = [dataclasses.replace(state, seconds=0.0) for state in (whole, rest)]
    assert timeless[0] == timeless[1]


def test_each_generation_says_how_far_the_surrogate_was_right() -> None:
    state = search(Stopping(generations=4))
    first, *others = state.records
    assert "trusted" not in first
    for row in others:
        assert row["trusted"] in (True, False)
        assert -1 <= row["fit"] <= 1
        assert -1 <= row["foreseen"] <= 1
        assert 0 <= row["cover"] <= 1
        assert 0 <= row["covered"] <= 1
    assert "foreseen" in str(state.logbook)


def test_it_races_and_learns_from_those_that_are_eliminated() -> None:
    known = load_landscape(KNOWN)
    space = SearchSpace(known.units, 3, frozenset(range(8)))
    evaluator = CachedEvaluator(TabularEvaluator(known))
    evaluator.evaluate([space.dense])
    search = assemble(space, evaluator, random.Random(0), EvolutionSettings())
    state = search.run(Stopping(evaluations=72))
    assert state.eliminated
    seen = observe(evaluator.rows, evaluator.tokens, space.dense)
    assert len(seen) == state.evaluations
    assert int((seen.noise > 0).sum()) == len(state.eliminated)


def test_parameters_are_found_anew_at_growing_counts_only() -> None:
    sizes = [fitted_on(count) for count in range(1, 1000)]
    assert sizes == sorted(sizes)
    assert all(size <= count for count, size in enumerate(sizes, start=1))
    assert len(set(sizes)) < 25
    assert max(sizes) <= 160


def test_what_comes_after_the_patterns_fitted_on_moves_no_parameter() -> None:
    evaluator = table()
    evaluator.evaluate(random.Random(0).sample(PATTERNS, 39))
    seen = observe(evaluator.rows, evaluator.tokens, SPACE.dense)
    shapes = {count: GP.learn(seen.first(count), SPACE).kernel.shape for count in range(29, 40)}
    assert [fitted_on(count) for count in shapes] == [22] + 9 * [29] + [38]
    assert len({shapes[count] for count in range(30, 39)}) == 1
    assert len(set(shapes.values())) == 3


def test_surrogates_have_names() -> None:
    assert surrogate_of("gp") == Surrogate()
    assert surrogate_of("linear") == Surrogate(powers=1)
    assert surrogate_of("none") is None


def test_it_explains_what_each_unit_costs_and_which_two_are_worse_together() -> None:
    evaluator = table()
    evaluator.evaluate(PATTERNS)
    seen = observe(evaluator.rows, evaluator.tokens, SPACE.dense)
    found = explain(Surrogate(ceiling=1.0).learn(seen, SPACE), SPACE, rng=random.Random(0))
    assert [effect.units for effect in found.units] == [(unit.name,) for unit in UNITS]
    means = np.array([effect.mean for effect in found.units])
    # The pair's own effect is split off, but 8 is dearer beside patterns that drop 7 anyway.
    alone = [unit for unit in range(12) if unit not in (7, 8)]
    np.testing.assert_allclose(means[alone], (COSTS[alone] - COSTS.mean()) / 3, atol=0.2)
    worst = max(found.pairs, key=lambda pair: pair.mean)
    assert worst.units == ("7", "8")
    assert worst.certain
    told = found.as_dict()
    assert told["worse_together"][0]["units"] == ["7", "8"]
    for effect in told["units"]:
        assert 0 < effect["low"] <= effect["factor"] <= effect["high"]


def test_effects_are_exact_where_everything_is_known_and_additive() -> None:
    units = UNITS[:7]
    space = SearchSpace(units, n_drop=2)
    patterns = [space.pattern(pair) for pair in itertools.combinations(range(7), 2)]
    losses = {p: math.exp(COSTS[list(dropped_units(p))].sum()) for p in patterns}
    evaluator = CachedEvaluator(TabularEvaluator({space.dense: 0.0, **losses}))
    evaluator.evaluate([space.dense, *patterns])
    seen = observe(evaluator.rows, evaluator.tokens, space.dense)
    process = Surrogate(powers=1, ceiling=1.0).learn(seen, space)
    found = explain(process, space, rng=random.Random(0))
    means = [effect.mean for effect in found.units]
    np.testing.assert_allclose(means, COSTS[:7] - COSTS[:7].mean(), atol=0.02)
    assert max(abs(pair.mean) for pair in found.pairs) < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_units_that_all_good_patterns_drop_have_an_effect_too(seed: int) -> None:
    space = SearchSpace(UNITS, n_drop=8)
    losses = {space.pattern([*range(7), other]): 1.0 + other for other in range(7, 12)}
    evaluator = CachedEvaluator(TabularEvaluator({space.dense: 1.0, **losses}))
    evaluator.evaluate([space.dense, *losses])
    seen = observe(evaluator.rows, evaluator.tokens, space.dense)
    found = explain(Surrogate().learn(seen, space), space, rng=random.Random(seed))
    assert [effect.units for effect in found.units] == [(unit.name,) for unit in UNITS]


@pytest.mark.parametrize("n_drop", [1, 11])
def test_it_explains_at_the_edges_of_the_budget(n_drop: int) -> None:
    space = SearchSpace(UNITS, n_drop)
    patterns = [space.pattern(d) for d in itertools.combinations(range(12), n_drop)]
    losses = {p: 1 + math.exp(COSTS[list(dropped_units(p))].sum() / 9) for p in patterns}
    evaluator = CachedEvaluator(TabularEvaluator({space.dense: 1.0, **losses}))
    evaluator.evaluate([space.dense, *patterns])
    seen = observe(evaluator.rows, evaluator.tokens, space.dense)
    found = explain(Surrogate(ceiling=1.0).learn(seen, space), space, rng=random.Random(0))
    if n_drop == 1:
        assert not found.pairs
        assert min(found.units, key=lambda effect: effect.mean).units == ("7",)
    found.as_dict()


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; import evop_deap.surrogate.preference, evop_deap.surrogate.explanation; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_landscape_without_its_dense_pattern_can_be_searched() -> None:
    known = load_landscape(KNOWN)
    some = [row for row, pattern in enumerate(known.patterns) if pattern.sum() == 28]
    part = Landscape(
        known.units, known.patterns[some], known.sums[some], known.tokens, known.head_work, {}
    )
    space = SearchSpace(known.units, 2, frozenset(range(8)))
    evaluator, settings = CachedEvaluator(TabularEvaluator(part)), EvolutionSettings(racing="off")
    state = assemble(space, evaluator, random.Random(0), settings).run(Stopping(evaluations=60))
    assert state.best.loss == part.losses.min()


def test_patterns_of_another_budget_are_evidence_too() -> None:
    fewer = SearchSpace(UNITS, n_drop=2)
    pairs = [fewer.pattern(pair) for pair in itertools.combinations(range(12), 2)]
    judged = PATTERNS[::20]
    alone = table()
    alone.evaluate(judged)
    informed = table({pattern: additive(pattern) for pattern in [*PATTERNS, *pairs]})
    informed.evaluate([*judged, *pairs])
    truth = np.log([additive(pattern) - 1.0 for pattern in PATTERNS])
    errors = []
    for evaluator in (alone, informed):
        seen = observe(evaluator.rows, evaluator.tokens, SPACE.dense)
        mean, _ = Surrogate(ceiling=1.0).learn(seen, SPACE).predict(as_drops(PATTERNS))
        errors.append(float(np.abs(mean - truth).mean()))
    assert errors[1] < errors[0] / 2
