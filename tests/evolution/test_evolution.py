from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from deap import algorithms, tools
from numpy.typing import NDArray

from evop_deap.base.formatting import counted
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.loop import evolve
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.racing import Racing, race
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import EXHAUSTED, Stopping
from evop_deap.evolution.strategies import Choice, Seeds, Strategies
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.space import Pattern, SearchSpace, Unit, dropped_units

SPACE = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(12)), n_drop=4)
SETTINGS = EvolutionSettings(population=6, offspring=8)
BEST = (1, 4, 6, 9)


class Counting:
    """Loss: 1 plus the distance from the best pattern; remembers every pattern it is asked for."""

    def __init__(self, loss: Callable[[Pattern], float] | None = None) -> None:
        self.asked: list[Pattern] = []
        self._loss = loss or (lambda p: 1.0 + len(set(BEST) - set(dropped_units(p))))

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        self.asked += patterns
        sums = np.array([[self._loss(p)] for p in patterns], dtype=float).reshape(-1, 1)
        return Evaluation(sums, np.ones(1, dtype=np.int64), np.full(len(patterns), 0.5))


def search(
    evaluator: Counting,
    stopping: Stopping,
    *,
    seed: int = 0,
    space: SearchSpace = SPACE,
    state: EvolutionState | None = None,
    settings: EvolutionSettings = SETTINGS,
    callbacks: Sequence[Callable[[EvolutionState], object]] = (),
) -> EvolutionState:
    rng = random.Random(seed)
    return evolve(
        make_toolbox(space, evaluator, rng),
        rng,
        settings=settings,
        stopping=stopping,
        strategies=Strategies(evaluate=evaluator.evaluate),
        state=state,
        callbacks=callbacks,
    )


def timeless(state: EvolutionState) -> EvolutionState:
    return dataclasses.replace(state, seconds=0.0)


def test_the_search_finds_the_best_pattern() -> None:
    state = search(Counting(), Stopping(generations=25))
    assert dropped_units(state.best) == BEST
    assert state.best.loss == 1.0


def test_no_pattern_is_evaluated_twice_and_none_outside_the_space() -> None:
    evaluator = Counting()
    state = search(evaluator, Stopping(generations=20))
    assert len(evaluator.asked) == len(set(evaluator.asked)) == len(state.losses)
    assert all(pattern in SPACE for pattern in evaluator.asked)


@pytest.mark.parametrize("restart", [1, 3])
def test_stagnation_draws_all_but_the_best_afresh(restart: int) -> None:
    best = SPACE.pattern(BEST)
    states: list[EvolutionState] = []
    evaluator = Counting(
        lambda p: 2.0 - (p == best) - 1e-9 * len(set(BEST) & set(dropped_units(p)))
    )
    settings = dataclasses.replace(SETTINGS, restart=restart)
    search(evaluator, Stopping(generations=14), settings=settings, callbacks=[states.append])
    began = [now for now in states if now.restarted == now.generation > 0]
    assert began
    for before, now in itertools.pairwise(states):
        stood_still = before.generation - max(before.best_since, before.restarted)
        assert (now.restarted == now.generation) == (stood_still >= restart)
        if now in began:
            children = list(now.losses)[len(before.losses) :]
            assert {g.pattern for g in now.population} <= {before.best.pattern, *children}
        assert now.best.loss <= before.best.loss


def test_without_a_restart_nothing_is_drawn_afresh() -> None:
    assert search(Counting(lambda p: 1.0), Stopping(generations=20)).restarted == 0


def test_elitism_never_loses_the_best() -> None:
    bests: list[float] = []
    search(Counting(), Stopping(generations=15), callbacks=[lambda s: bests.append(s.best.loss)])
    assert bests == sorted(bests, reverse=True)


def test_the_population_is_the_best_of_everything_seen() -> None:
    state = search(Counting(), Stopping(generations=10))
    best_losses = sorted(state.losses.values())[: SETTINGS.population]
    assert [individual.loss for individual in state.population] == best_losses
    assert len({individual.pattern for individual in state.population}) == SETTINGS.population


def test_the_same_seed_gives_the_same_search_and_another_seed_another() -> None:
    first, again, other = (
        search(Counting(), Stopping(generations=5), seed=seed) for seed in (0, 0, 1)
    )
    assert timeless(first) == timeless(again)
    assert list(first.losses) != list(other.losses)


@pytest.mark.parametrize("restart", [0, 1])
@pytest.mark.parametrize("interrupted_at", [0, 1, 4])
def test_a_search_continued_from_any_generation_ends_like_an_uninterrupted_one(
    interrupted_at: int, restart: int
) -> None:
    settings = dataclasses.replace(SETTINGS, restart=restart)
    whole = search(Counting(), Stopping(generations=6), settings=settings)
    part = search(Counting(), Stopping(generations=interrupted_at), settings=settings)
    rest = search(Counting(), Stopping(generations=6), seed=99, state=part, settings=settings)
    assert timeless(rest) == timeless(whole)
    assert (whole.restarted > 0) == (restart > 0)


@pytest.mark.parametrize(
    ("stopping", "evaluations", "reason"),
    [
        (Stopping(generations=3), 6 + 3 * 8, "after 3 generations"),
        (Stopping(generations=0), 6, "after 0 generations"),
        (Stopping(evaluations=17), 17, "after 17 evaluations"),
        (Stopping(evaluations=2), 2, "after 2 evaluations"),
        (Stopping(generations=1), 14, "after 1 generation"),
        (Stopping(cost=6.5), 14, "after a cost of 7.0 dense forward passes"),
        (Stopping(seconds=1e-9), 6, "after 1e-09 seconds"),
        (Stopping(generations=9, evaluations=14), 14, "after 14 evaluations"),
    ],
)
def test_each_limit_stops_the_search_where_it_says(
    stopping: Stopping, evaluations: int, reason: str
) -> None:
    state = search(Counting(), stopping)
    assert (len(state.losses), state.stopped) == (evaluations, reason)


def test_patience_ends_a_search_that_finds_nothing_better() -> None:
    state = search(Counting(lambda p: 1.0), Stopping(patience=3))
    assert (state.generation, state.stopped) == (3, "after 3 generations without a better pattern")


def test_a_callback_can_stop_the_search_and_all_callbacks_hear_of_each_generation() -> None:
    heard: list[int] = []
    state = search(
        Counting(),
        Stopping(generations=9),
        callbacks=[lambda s: s.generation == 2, lambda s: heard.append(s.generation)],
    )
    assert (state.generation, state.stopped) == (2, "as a callback asked for it")
    assert heard == [0, 1, 2]


def test_a_small_space_is_searched_whole_and_then_the_search_ends() -> None:
    space = SearchSpace(SPACE.units[:5], n_drop=2)
    evaluator = Counting()
    state = search(evaluator, Stopping(), space=space)
    assert len(state.losses) == space.size == 10
    assert state.stopped == EXHAUSTED


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_never_wins(bad: float) -> None:
    def loss(pattern: Pattern) -> float:
        return bad if pattern[0] == 0 else 2.0 + pattern[1]

    state = search(Counting(loss), Stopping(generations=8))
    assert all(hero[0] == 1 for hero in state.hall_of_fame(5))
    assert state.best.loss == 2.0


def test_a_search_goes_on_when_the_whole_first_population_fails() -> None:
    asked = 0

    def loss(pattern: Pattern) -> float:
        nonlocal asked
        asked += 1
        return math.nan if asked <= SETTINGS.population else 1.0

    state = search(Counting(loss), Stopping(generations=2))
    assert state.best.loss == 1.0


def test_logbook_and_hall_of_fame_are_deaps_own() -> None:
    state = search(Counting(), Stopping(generations=4))
    assert isinstance(state.logbook, tools.Logbook)
    assert state.logbook.select("gen") == [0, 1, 2, 3, 4]
    assert state.logbook.select("evaluations")[-1] == len(state.losses)
    assert state.logbook.select("cost")[-1] == len(state.losses) * 0.5
    hall = state.hall_of_fame(3)
    assert isinstance(hall, tools.HallOfFame)
    assert [hero.loss for hero in hall] == sorted(state.losses.values())[:3]
    assert hall[0] == state.best


def test_without_a_strategy_the_toolbox_evaluates_and_a_pattern_counts_as_one_pass() -> None:
    rng = random.Random(0)
    toolbox = make_toolbox(SPACE, Counting(), rng)
    toolbox.register("evaluate", lambda individual: (float(individual[0]),))
    toolbox.register("map", map)
    state = evolve(toolbox, rng, settings=SETTINGS, stopping=Stopping(generations=2))
    assert (state.cost, state.best.loss) == (6 + 2 * 8, 0.0)


@pytest.mark.parametrize("algorithm", ["eaMuPlusLambda", "eaSimple"])
def test_deaps_own_algorithms_run_on_our_toolbox_and_batched_cached_evaluator(
    algorithm: str,
) -> None:
    evaluator = Counting()
    toolbox = make_toolbox(SPACE, CachedEvaluator(evaluator), random.Random(0))
    hall = tools.HallOfFame(1)
    # DEAP's algorithms choose who mates with Python's global generator.
    state = random.getstate()
    random.seed(0)
    try:
        run = getattr(algorithms, algorithm)
        sizes = (8, 16) if algorithm == "eaMuPlusLambda" else ()
        population, _ = run(
            toolbox.population(n=8), toolbox, *sizes, 0.5, 0.4, 15, halloffame=hall, verbose=False
        )
    finally:
        random.setstate(state)
    assert all(isinstance(i, Genome) and i.pattern in SPACE for i in population)
    assert len(evaluator.asked) == len(set(evaluator.asked)) < 8 + 15 * 16
    assert hall[0].loss <= 2.0


def test_a_fitness_of_ones_own_or_a_penalty_on_ours_is_what_counts() -> None:
    rng = random.Random(0)
    toolbox = make_toolbox(SPACE, Counting(), rng)
    penalty = tools.DeltaPenalty(lambda individual: individual[0] == 1, 1000.0)
    toolbox.decorate("evaluate", penalty)
    individuals = [Genome(SPACE.pattern([0, 1, 2, 3])), Genome(SPACE.pattern(BEST))]
    assert toolbox.map(toolbox.evaluate, individuals) == [(1000.0,), (1.0,)]
    state = evolve(toolbox, rng, settings=SETTINGS, stopping=Stopping(generations=3))
    assert state.best[0] == 1
    assert any(loss == 1000.0 for loss in state.losses.values())


def test_a_first_population_with_repeats_is_evaluated_once_each() -> None:
    evaluator, rng = Counting(), random.Random(0)
    toolbox = make_toolbox(SPACE, evaluator, rng)
    toolbox.register("population", tools.initRepeat, list, lambda: Genome(SPACE.pattern(BEST)))
    evolve(toolbox, rng, settings=SETTINGS, stopping=Stopping(generations=0))
    assert len(evaluator.asked) == 1


def test_every_pattern_that_a_search_begins_with_is_evaluated_however_small_the_population() -> (
    None
):
    evaluator, rng = Counting(), random.Random(0)
    toolbox = make_toolbox(SPACE, evaluator, rng)
    picks = {str(first): SPACE.pattern(range(first, first + 4)) for first in range(8)}
    few = dataclasses.replace(SETTINGS, population=2)
    strategies = Strategies(begin=lambda: Seeds(picks))
    stopping = Stopping(generations=0)
    state = evolve(toolbox, rng, settings=few, stopping=stopping, strategies=strategies)
    assert evaluator.asked == list(picks.values())
    assert state.evaluations == 8
    assert len(state.population) == 2


def test_the_batched_map_serves_other_functions_too() -> None:
    toolbox = make_toolbox(SPACE, Counting(), random.Random(0))
    assert toolbox.map(lambda a, b: a + b, [1, 2], [10, 20]) == [11, 22]


class Windowed:
    """Five windows: 1 plus the distance from the best pattern, more in some than in others."""

    windows = 5

    def __init__(self, noise: float = 0.3) -> None:
        self.asked: list[tuple[Pattern, int]] = []
        self._noise = noise

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        some = list(range(self.windows) if windows is None else windows)
        self.asked += [(pattern, window) for pattern in patterns for window in some]
        rows = [self._sums(pattern)[some] for pattern in patterns]
        return Evaluation(
            np.array(rows).reshape(-1, len(some)),
            np.full(len(some), 4),
            np.full(len(patterns), len(some) / self.windows),
            work=Work(4 * len(some) * len(patterns), 4 * len(patterns), len(rows) * len(some)),
        )

    def _sums(self, pattern: Pattern) -> NDArray[np.float64]:
        rng = np.random.default_rng(int("".join(map(str, pattern)), 2))
        distance = len(set(BEST) - set(dropped_units(pattern)))
        noise: NDArray[np.float64] = rng.normal(0, self._noise, self.windows)
        return 4 * (1 + distance + noise - noise.mean())


def search_raced(
    evaluator: Windowed,
    stopping: Stopping,
    *,
    seed: int = 0,
    space: SearchSpace = SPACE,
    cached: CachedEvaluator | None = None,
    state: EvolutionState | None = None,
    callbacks: Sequence[Callable[[EvolutionState], object]] = (),
) -> EvolutionState:
    rng = random.Random(seed)
    cached = cached or CachedEvaluator(evaluator)
    choose = partial(race, evaluator=cached, racing=Racing(1, 0.95), size=SETTINGS.population)
    return evolve(
        make_toolbox(space, cached, rng),
        rng,
        settings=SETTINGS,
        stopping=stopping,
        strategies=Strategies(evaluate=cached.evaluate, choose=choose),
        state=state,
        callbacks=callbacks,
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_raced_search_finds_the_best_pattern_for_less(seed: int) -> None:
    state = search_raced(Windowed(), Stopping(generations=25), seed=seed)
    assert dropped_units(state.best) == BEST
    assert state.best.loss == pytest.approx(1.0)
    assert state.eliminated
    assert state.cost < state.evaluations


def test_eliminated_patterns_are_in_no_ranking_and_never_come_back() -> None:
    eliminated: list[tuple[Pattern, ...]] = []
    asked: list[int] = []
    evaluator = Windowed()
    state = search_raced(
        evaluator,
        Stopping(generations=15),
        callbacks=[
            lambda s: eliminated.append(s.eliminated),
            lambda s: asked.append(len(evaluator.asked)),
        ],
    )
    assert len(set(state.eliminated)) == len(state.eliminated) > 0
    assert not set(state.eliminated) & set(state.losses)
    assert not set(state.eliminated) & {genome.pattern for genome in state.population}
    assert not set(state.eliminated) & {hero.pattern for hero in state.hall_of_fame(1000)}
    for before, generation in zip(eliminated, asked, strict=True):
        assert state.eliminated[: len(before)] == before
        assert not set(before) & {pattern for pattern, _ in evaluator.asked[generation:]}
    assert len(set(evaluator.asked)) == len(evaluator.asked)
    evaluated = [pattern for pattern, _ in evaluator.asked]
    assert all(evaluated.count(pattern) == Windowed.windows for pattern in state.losses)
    assert all(0 < evaluated.count(pattern) < Windowed.windows for pattern in state.eliminated)
    assert set(evaluated) == {*state.losses, *state.eliminated}


@pytest.mark.parametrize("limit", [1, 6, 7, 14, 33])
def test_a_limit_on_evaluations_is_met_exactly_whether_they_are_full_or_cut_short(
    limit: int,
) -> None:
    state = search_raced(Windowed(), Stopping(evaluations=limit))
    assert state.evaluations == len(state.losses) + len(state.eliminated) == limit
    assert state.stopped == f"after {counted(limit, 'evaluation')}"


def test_a_small_space_is_raced_through_and_then_the_search_ends() -> None:
    space = SearchSpace(SPACE.units[:6], n_drop=2)
    state = search_raced(Windowed(), Stopping(), space=space)
    assert state.evaluations == space.size == 15
    assert state.eliminated
    assert state.stopped == EXHAUSTED


def test_records_tell_what_was_eliminated_what_was_known_and_what_was_executed() -> None:
    evaluator = Windowed()
    state = search_raced(evaluator, Stopping(generations=9))
    book = state.logbook
    assert book.select("lost")[0] == 0
    assert sum(book.select("lost")) == len(state.eliminated)
    assert sum(book.select("nevals")) == len(state.losses)
    both = np.add(book.select("nevals"), book.select("lost"))
    assert np.cumsum(both).tolist() == book.select("evaluations")
    assert book.select("hits") == [0] * 10
    assert state.work == Work(
        sum(book.select("block_tokens")),
        sum(book.select("head_tokens")),
        max(book.select("bytes_held")),
    )
    assert state.work.block_tokens == 4 * len(evaluator.asked)
    assert state.cost == pytest.approx(len(evaluator.asked) / Windowed.windows)
    assert book.select("cost")[-1] == state.cost


def test_what_an_earlier_search_has_evaluated_counts_as_known_and_costs_nothing() -> None:
    evaluator = Windowed()
    cached = CachedEvaluator(evaluator)
    first = search_raced(evaluator, Stopping(generations=4), cached=cached)
    again = search_raced(evaluator, Stopping(generations=4), cached=cached)
    assert (again.losses, again.eliminated) == (first.losses, first.eliminated)
    assert (again.cost, again.work.block_tokens) == (0.0, 0)
    assert again.cache_hits == sum(again.logbook.select("hits")) == again.evaluations


@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("interrupted_at", range(7))
def test_a_raced_search_continued_from_any_generation_ends_like_an_uninterrupted_one(
    interrupted_at: int, forgetful: bool
) -> None:
    whole = search_raced(Windowed(), Stopping(generations=6))
    before = CachedEvaluator(Windowed())
    part = search_raced(Windowed(), Stopping(generations=interrupted_at), cached=before)
    after = CachedEvaluator(Windowed())
    if not forgetful:
        after.restore(before.rows)
    rest = search_raced(Windowed(), Stopping(generations=6), seed=99, cached=after, state=part)
    assert whole.eliminated
    assert timeless(rest) == timeless(whole)


def test_a_generation_of_which_nobody_is_chosen_leaves_the_population() -> None:
    rng = random.Random(0)
    evaluator = Counting()
    strategies = Strategies(
        evaluate=evaluator.evaluate,
        choose=lambda children, _: Choice((), np.full(len(children), 0.25)),
    )
    state = evolve(
        make_toolbox(SPACE, evaluator, rng),
        rng,
        settings=SETTINGS,
        stopping=Stopping(patience=3),
        strategies=strategies,
    )
    assert (state.generation, len(state.eliminated)) == (3, 3 * 8)
    assert {genome.pattern for genome in state.population} == set(state.losses)
    assert state.cost == 6 * 0.5 + 3 * 8 * 0.25
    assert state.best_since == 0


def test_a_choice_goes_with_a_fitness_of_ones_own() -> None:
    rng = random.Random(0)
    toolbox = make_toolbox(SPACE, Counting(), rng)
    toolbox.register("evaluate", lambda individual: (float(individual[0]),))
    strategies = Strategies(
        choose=lambda children, _: Choice(
            tuple(children[::2]), np.full(len(children), 0.5), Work(7, 5)
        )
    )
    stopping = Stopping(generations=2)
    state = evolve(toolbox, rng, settings=SETTINGS, stopping=stopping, strategies=strategies)
    assert (len(state.losses), len(state.eliminated)) == (6 + 2 * 4, 2 * 4)
    assert state.cost == 6 + 2 * (4 * 1.5 + 4 * 0.5)
    assert state.work == Work(14, 10)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_raced_search_goes_on_past_windows_that_fail(bad: float) -> None:
    class Failing(Windowed):
        def evaluate(
            self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
        ) -> Evaluation:
            found = super().evaluate(patterns, windows)
            found.sums[[pattern[0] == 0 for pattern in patterns], -1] = bad
            return found

    state = search_raced(Failing(), Stopping(generations=12))
    assert dropped_units(state.best) == BEST
    assert all(hero[0] == 1 for hero in state.hall_of_fame(5))
    assert all(loss == math.inf for pattern, loss in state.losses.items() if pattern[0] == 0)
