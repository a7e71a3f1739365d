from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from deap import algorithms, tools

from evop_deap.evolution import EvolutionSettings, EvolutionState, evolve
from evop_deap.fitness.cache import CachedEvaluator
from evop_deap.fitness.evaluation import Evaluation
from evop_deap.genome import Genome
from evop_deap.space import Pattern, SearchSpace, Unit, dropped_units
from evop_deap.stopping import Stopping
from evop_deap.toolbox import make_toolbox

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
    callbacks: Sequence[Callable[[EvolutionState], object]] = (),
) -> EvolutionState:
    rng = random.Random(seed)
    return evolve(
        make_toolbox(space, evaluator, rng),
        rng,
        settings=SETTINGS,
        stopping=stopping,
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


@pytest.mark.parametrize("interrupted_at", [0, 1, 4])
def test_a_search_continued_from_any_generation_ends_like_an_uninterrupted_one(
    interrupted_at: int,
) -> None:
    whole = search(Counting(), Stopping(generations=6))
    part = search(Counting(), Stopping(generations=interrupted_at))
    rest = search(Counting(), Stopping(generations=6), seed=99, state=part)
    assert timeless(rest) == timeless(whole)


@pytest.mark.parametrize(
    ("stopping", "evaluations", "reason"),
    [
        (Stopping(generations=3), 6 + 3 * 8, "after 3 generations"),
        (Stopping(generations=0), 6, "after 0 generations"),
        (Stopping(evaluations=17), 17, "after 17 evaluations"),
        (Stopping(evaluations=2), 2, "after 2 evaluations"),
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
    assert (state.generation, state.stopped) == (2, "a callback asked for it")
    assert heard == [0, 1, 2]


def test_a_small_space_is_searched_whole_and_then_the_search_ends() -> None:
    space = SearchSpace(SPACE.units[:5], n_drop=2)
    evaluator = Counting()
    state = search(evaluator, Stopping(), space=space)
    assert len(state.losses) == space.size == 10
    assert state.stopped == "every pattern within reach was evaluated"


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


def test_the_loop_takes_a_toolbox_that_only_has_evaluate_and_map() -> None:
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


def test_the_batched_map_serves_other_functions_too() -> None:
    toolbox = make_toolbox(SPACE, Counting(), random.Random(0))
    assert toolbox.map(lambda a, b: a + b, [1, 2], [10, 20]) == [11, 22]
