"""EPPS, the evolutionary search for a pruning pattern (EvoP, arXiv 2502.14910), on DEAP's toolbox.

A (μ + λ) evolution with elitism in which no pattern is ever evaluated twice. It is an
assembly of replaceable callables from the toolbox, knows nothing of models, and goes from
one plain state to the next, so that a stored state continues exactly.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from deap import base, tools

from evop_deap.evolution_state import Choice, EvolutionSettings, EvolutionState
from evop_deap.fitness.evaluation import Evaluation, Work
from evop_deap.genome import Genome, finite_or_worst
from evop_deap.space import Pattern
from evop_deap.stopping import Stopping

Callback = Callable[[EvolutionState], object]
"""Called with the state after each generation; a true answer ends the search."""


def evolve(
    toolbox: base.Toolbox,
    rng: random.Random,
    *,
    settings: EvolutionSettings,
    stopping: Stopping,
    state: EvolutionState | None = None,
    callbacks: Sequence[Callback] = (),
) -> EvolutionState:
    """Search until a limit of `stopping` or a callback ends it.

    Args:
        toolbox: `population(n=…)`, `mate`, `mutate`, `select`, `evaluate` and `map` as DEAP
            registers them. With the `evaluate` of `make_toolbox` populations are judged whole;
            with any other, a pattern counts as one dense forward pass. Where there is a
            `choose(children, population)` that returns a `Choice`, such as `race`, only the
            children chosen are evaluated.
        rng: the generator that the toolbox's operators are bound to.
        settings: sizes and rates.
        stopping: when to end.
        state: where to go on; without it the search begins with a first population.
        callbacks: called in this order after each generation, the first one included.

    Returns:
        The last state; its `stopped` tells why it is the last.
    """
    began = time.monotonic() - (state.seconds if state else 0.0)

    def finish(state: EvolutionState) -> EvolutionState:
        state = replace(state, seconds=time.monotonic() - began)
        state = replace(state, stopped=_reason(stopping, state))
        # Every callback hears of every generation, whatever those before it answered.
        answers = [callback(state) for callback in callbacks]
        if any(answers) and state.stopped is None:
            state = replace(state, stopped="a callback asked for it")
        return state

    if state is None:
        state = finish(_first_generation(toolbox, rng, settings, stopping))
    else:
        rng.setstate(state.rng_state)
        state = replace(state, stopped=_reason(stopping, state))
    while state.stopped is None:
        count = stopping.evaluations_left(state.evaluations, settings.offspring)
        seen = {*state.losses, *state.lost}
        children = propose(state.population, seen, count, toolbox, rng, settings=settings)
        if not children:
            return replace(state, stopped="every pattern within reach was evaluated")
        state = finish(_next_generation(state, children, toolbox, rng, settings))
    return state


def propose(
    population: Sequence[Genome],
    seen: Collection[Pattern],
    count: int,
    toolbox: base.Toolbox,
    rng: random.Random,
    *,
    settings: EvolutionSettings,
) -> list[Genome]:
    """Up to `count` children of `population`, no two alike and none in `seen`.

    Fewer come back only where neither the operators nor fresh draws find anything new.
    """
    children: dict[Pattern, Genome] = {}
    while len(children) < count:
        for attempt in range(2 * settings.attempts):
            related = attempt < settings.attempts
            child = _child(population, toolbox, rng, settings) if related else _fresh(toolbox)
            if child.pattern not in seen and child.pattern not in children:
                children[child.pattern] = child
                break
        else:
            break
    return list(children.values())


def survive(individuals: Sequence[Genome], count: int) -> tuple[Genome, ...]:
    """The best `count`, best first; of equals those that came first."""
    return tuple(sorted(individuals, key=lambda individual: individual.loss)[:count])


def _child(
    population: Sequence[Genome],
    toolbox: base.Toolbox,
    rng: random.Random,
    settings: EvolutionSettings,
) -> Genome:
    """One child of tournament winners: crossed over, mutated, or both."""
    if rng.random() < settings.crossover:
        first, second = (Genome(parent) for parent in toolbox.select(population, 2))
        child, _ = toolbox.mate(first, second)
        mutated = rng.random() < settings.mutation
    else:
        (parent,) = toolbox.select(population, 1)
        child, mutated = Genome(parent), True
    if mutated:
        (child,) = toolbox.mutate(child)
    return Genome(child)


def _fresh(toolbox: base.Toolbox) -> Genome:
    (individual,) = toolbox.population(n=1)
    return Genome(individual)


def _first_generation(
    toolbox: base.Toolbox,
    rng: random.Random,
    settings: EvolutionSettings,
    stopping: Stopping,
) -> EvolutionState:
    count = stopping.evaluations_left(0, settings.population)
    drawn = [Genome(individual) for individual in toolbox.population(n=count)]
    individuals = tuple({individual.pattern: individual for individual in drawn}.values())
    everyone = Choice(individuals, np.zeros(len(individuals)))
    judged = _judge(toolbox, individuals, everyone)
    population = survive(individuals, settings.population)
    return EvolutionState(
        generation=0,
        population=population,
        losses=judged.losses,
        records=(_record(0, population, judged, evaluations=len(individuals), cost=judged.cost),),
        cost=judged.cost,
        cache_hits=judged.hits,
        seconds=0.0,
        best_since=0,
        rng_state=rng.getstate(),
    )


def _next_generation(
    state: EvolutionState,
    children: Sequence[Genome],
    toolbox: base.Toolbox,
    rng: random.Random,
    settings: EvolutionSettings,
) -> EvolutionState:
    everyone = Choice(tuple(children), np.zeros(len(children)))
    choose = getattr(toolbox, "choose", None)
    judged = _judge(toolbox, children, choose(children, state.population) if choose else everyone)
    generation, cost = state.generation + 1, state.cost + judged.cost
    evaluated = [child for child in children if child.pattern in judged.losses]
    population = survive((*state.population, *evaluated), settings.population)
    evaluations = state.evaluations + len(children)
    record = _record(generation, population, judged, evaluations=evaluations, cost=cost)
    return replace(
        state,
        generation=generation,
        population=population,
        losses={**state.losses, **judged.losses},
        lost=(*state.lost, *judged.lost),
        records=(*state.records, record),
        cost=cost,
        cache_hits=state.cache_hits + judged.hits,
        best_since=generation if population[0].loss < state.best.loss else state.best_since,
        rng_state=rng.getstate(),
    )


@dataclass(frozen=True)
class _Judged:
    """What became of a generation's proposals."""

    losses: Mapping[Pattern, float]
    lost: tuple[Pattern, ...]
    cost: float
    hits: int
    work: Work


def _judge(toolbox: base.Toolbox, proposals: Sequence[Genome], choice: Choice) -> _Judged:
    """Give each individual that was chosen its fitness."""
    spent = dict(zip((p.pattern for p in proposals), choice.costs.tolist(), strict=True))
    losses, costs, work = _evaluate(toolbox, choice.chosen)
    for individual, loss, cost in zip(choice.chosen, losses, costs, strict=True):
        individual.fitness.values = (finite_or_worst(loss),)
        spent[individual.pattern] += cost
    known = {individual.pattern: individual.loss for individual in choice.chosen}
    return _Judged(
        losses=known,
        lost=tuple(pattern for pattern in spent if pattern not in known),
        cost=sum(spent.values()),
        # Judging anything runs the head at least: what cost nothing was known.
        hits=sum(cost == 0.0 for cost in spent.values()),
        work=choice.work + work,
    )


def _evaluate(
    toolbox: base.Toolbox, individuals: Sequence[Genome]
) -> tuple[list[float], list[float], Work]:
    """The loss of each individual, what each cost, and the work done."""
    if not individuals:
        return [], [], Work()
    own, judge_whole = getattr(toolbox.evaluate.func, "whole", (None, None))
    if judge_whole is not None and own is toolbox.evaluate.func:
        evaluation: Evaluation = judge_whole(individuals)
        return evaluation.losses.tolist(), evaluation.costs.tolist(), evaluation.work
    losses = [value for (value,) in toolbox.map(toolbox.evaluate, individuals)]
    return losses, [1.0] * len(losses), Work()


def _reason(stopping: Stopping, state: EvolutionState) -> str | None:
    return stopping.reason(
        state.generation,
        evaluations=state.evaluations,
        cost=state.cost,
        seconds=state.seconds,
        stagnant=state.generation - state.best_since,
    )


def _record(
    generation: int,
    population: Sequence[Genome],
    judged: _Judged,
    *,
    evaluations: int,
    cost: float,
) -> dict[str, Any]:
    """A row of the logbook: the survivors' losses, how unlike they are, and the work so far."""
    statistics = tools.Statistics(lambda individual: individual.loss)
    for name, function in (("min", np.min), ("avg", np.mean), ("std", np.std), ("max", np.max)):
        statistics.register(name, function)
    with np.errstate(invalid="ignore"):
        compiled = statistics.compile(population)
    row = {name: finite_or_worst(float(value)) for name, value in compiled.items()}
    keep = np.mean(population, axis=0)  # (units,) share of survivors that keep each unit
    diversity = float(np.mean(2 * keep * (1 - keep)))  # chance that two differ in a unit
    return {
        "gen": generation,
        "nevals": len(judged.losses),
        "lost": len(judged.lost),
        "hits": judged.hits,
        "evaluations": evaluations,
        "cost": cost,
        **row,
        "diversity": diversity,
        **dataclasses.asdict(judged.work),
    }
