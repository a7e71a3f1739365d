"""Loss against size: NSGA-II (Deb et al. 2002) over patterns of any number of drops, on DEAP.

The loop goes from one plain state to the next as `evolve` does and never judges a pattern twice.
DEAP sorts and crowds; its tournament draws from a generator of the whole process, so the one here
has the generator as an argument.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from deap import base, tools

from evop_deap.base.errors import InputError
from evop_deap.base.numbers import finite_or_worst
from evop_deap.evolution.callbacks import Callback, after_generation, judged_last
from evop_deap.evolution.generation import Judged
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.logbook import record_of
from evop_deap.evolution.operators import (
    init_uniform,
    mate_agreeing,
    mutate_mixed,
    mutate_resize,
    select_crowded,
)
from evop_deap.evolution.state import EvolutionSettings, EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.protocol import Evaluator
from evop_deap.space import Pattern, SearchSpace

SURVIVORS = 16  # at the least: a front is of many sizes, each of which needs some
_RESIZED = 0.5  # share of mutations that change how many units go
_ATTEMPTS = 20


class FitnessBoth(base.Fitness):  # type: ignore[misc]
    """Loss in nats a token and size: the lower, the better, both."""

    weights = (-1.0, -1.0)


class Member(Genome):
    """A genome judged by its loss and its size.

    Example:
        >>> small, large = Member([1, 0], loss=2.5, size=10), Member([1, 1], loss=2.5, size=20)
        >>> small.fitness.values, small.fitness.dominates(large.fitness)
        ((2.5, 10.0), True)
    """

    def __init__(self, genes: Iterable[int], *, loss: float, size: float) -> None:
        super().__init__(genes)
        self.fitness.values = (finite_or_worst(loss), float(size))

    @cached_property
    def fitness(self) -> FitnessBoth:
        """DEAP's, of two values."""
        return FitnessBoth()


@dataclass(frozen=True)
class Trade:
    """What is traded for loss, and how much of it may go.

    Attributes:
        space: of the largest budget; fewer drops are patterns here, too, one at least.
        sizes: (units,) what each unit adds to the size: parameters, or milliseconds.
        fixed: what the rest of the model adds.

    Raises:
        InputError: the space is no plain count of units.
    """

    space: SearchSpace
    sizes: tuple[float, ...]
    fixed: float = 0.0

    def __post_init__(self) -> None:
        if not self.space.is_count:
            raise InputError("`space` must be a plain count of units to trade size for loss")

    def size(self, pattern: Sequence[int]) -> float:
        """What a pattern keeps."""
        kept = (size for size, keep in zip(self.sizes, pattern, strict=True) if keep)
        return self.fixed + sum(kept)

    def drawn(self, count: int, rng: random.Random) -> Genome:
        """A pattern that drops so many units, drawn uniformly."""
        return init_uniform(replace(self.space, n_drop=count), rng=rng)


def evolve_front(
    trade: Trade,
    evaluator: Evaluator,
    rng: random.Random,
    *,
    settings: EvolutionSettings,
    stopping: Stopping,
    state: EvolutionState | None = None,
    callbacks: Sequence[Callback] = (),
) -> EvolutionState:
    """Search for the patterns that no other beats in both loss and size.

    Args:
        trade: what is traded for loss.
        evaluator: judges whole populations.
        rng: all randomness is drawn from it.
        settings: sizes and rates.
        stopping: when to end; patience counts generations whose hypervolume did not grow.
        state: where to go on; without it the search begins with patterns of all sizes.
        callbacks: called after each generation; a true answer ends the search.

    Returns:
        The last state. Its population is sorted by loss, its records hold each generation's
        "hypervolume" up to the reference point ("reference_loss", the worst of the first
        generation, and "reference_size", the dense model's), and `front_of` gives its archive.
    """
    began = time.monotonic() - (state.seconds if state else 0.0)

    def finish(state: EvolutionState) -> EvolutionState:
        return after_generation(state, stopping, callbacks, began=began)

    if state is None:
        count = stopping.evaluations_left(0, settings.population)
        first = _spread(trade, count, rng)
        state = finish(_judged(None, first, trade, evaluator, rng, settings))
    else:
        rng.setstate(state.rng_state)
        state = judged_last(state, stopping)
    while state.stopped is None:
        count = stopping.evaluations_left(state.evaluations, settings.offspring)
        children = _children(state, count, trade, rng, settings)
        if not children:
            return replace(state, stopped="every pattern within reach was evaluated")
        state = finish(_judged(state, children, trade, evaluator, rng, settings))
    return state


def front_of(state: EvolutionState, trade: Trade) -> tools.ParetoFront:
    """All patterns ever evaluated that no other beats in both, as DEAP's ParetoFront."""
    front = tools.ParetoFront()
    finite = {p: loss for p, loss in state.losses.items() if math.isfinite(loss)}
    front.update(_members(finite, trade))
    return front


def best_within(state: EvolutionState, n_drop: int) -> Pattern | None:
    """The pattern of least loss among those that drop so many units or more; None of none."""
    fitting = [pattern for pattern in state.losses if pattern.count(0) >= n_drop]
    return min(fitting, key=state.losses.__getitem__, default=None)


def _judged(
    state: EvolutionState | None,
    children: Sequence[Pattern],
    trade: Trade,
    evaluator: Evaluator,
    rng: random.Random,
    settings: EvolutionSettings,
) -> EvolutionState:
    """The state after another generation: the best ranks survive, the least crowded of the last."""
    found = evaluator.evaluate(children)
    new = dict(zip(children, map(finite_or_worst, found.losses.tolist()), strict=True))
    losses = {**(state.losses if state else {}), **new}
    before = {m.pattern: m.loss for m in state.population} if state else {}
    count = max(settings.population, SURVIVORS)
    survivors = tools.selNSGA2(_members({**before, **new}, trade), count)
    population = tuple(sorted(survivors, key=lambda member: member.loss))
    generation, cost = (state.generation + 1 if state else 0), found.cost
    cost += state.cost if state else 0.0
    earlier = state.records if state else ()
    worst = max((loss for loss in new.values() if math.isfinite(loss)), default=0.0)
    reference = earlier[0]["reference_loss"] if earlier else worst
    record = {
        **record_of(
            generation,
            population,
            Judged(new, (), found.cost, found.hits, found.work),
            evaluations=len(losses),
            cost=cost,
        ),
        "hypervolume": _hypervolume(losses, trade, reference),
        "reference_loss": reference,
        "reference_size": trade.size(trade.space.dense),
    }
    grown = not earlier or record["hypervolume"] > earlier[-1]["hypervolume"]
    return EvolutionState(
        generation=generation,
        population=population,
        losses=losses,
        records=(*earlier, record),
        cost=cost,
        cache_hits=(state.cache_hits if state else 0) + found.hits,
        seconds=0.0,
        best_since=generation if state is None or grown else state.best_since,
        rng_state=rng.getstate(),
    )


def _spread(trade: Trade, count: int, rng: random.Random) -> list[Pattern]:
    """Up to `count` different patterns, whose numbers of drops are spread evenly."""
    sizes = np.linspace(1, trade.space.n_drop, max(count, 1)).round().astype(int).tolist()
    found: dict[Pattern, None] = {}
    for size in sizes[:count]:
        for _ in range(_ATTEMPTS):
            if (drawn := trade.drawn(size, rng).pattern) not in found:
                found[drawn] = None
                break
    return list(found)


def _children(
    state: EvolutionState,
    count: int,
    trade: Trade,
    rng: random.Random,
    settings: EvolutionSettings,
) -> list[Pattern]:
    """Up to `count` new patterns: children of tournament winners, or fresh draws."""
    # A loaded population knows its losses and no more; this ranks it, and keeps all of it.
    parents = tools.selNSGA2(
        _members({m.pattern: m.loss for m in state.population}, trade), len(state.population)
    )
    found: dict[Pattern, None] = {}
    while len(found) < count:
        for attempt in range(2 * settings.attempts):
            related = attempt < settings.attempts
            child = (
                _child(parents, trade, rng, settings)
                if related
                else trade.drawn(rng.randint(1, trade.space.n_drop), rng)
            )
            if child.pattern not in state.losses and child.pattern not in found:
                found[child.pattern] = None
                break
        else:
            break
    return list(found)


def _child(
    parents: Sequence[Member], trade: Trade, rng: random.Random, settings: EvolutionSettings
) -> Genome:
    """One child: crossed over, mutated, or both."""
    child = Genome(*select_crowded(parents, 1, rng=rng))
    crossed = rng.random() < settings.crossover
    if crossed:
        other = Genome(*select_crowded(parents, 1, rng=rng))
        child, _ = mate_agreeing(child, other, rng=rng)
    if not crossed or rng.random() < settings.mutation:
        droppable, blocks = trade.space.droppable, trade.space.blocks
        if rng.random() < _RESIZED:
            mutate_resize(child, rng=rng, droppable=droppable, most=trade.space.n_drop)
        else:
            mutate_mixed(child, rng=rng, droppable=droppable, blocks=blocks)
    return Genome(child)


def _members(losses: Mapping[Pattern, float], trade: Trade) -> list[Member]:
    return [Member(p, loss=loss, size=trade.size(p)) for p, loss in losses.items()]


def _hypervolume(losses: Mapping[Pattern, float], trade: Trade, reference: float) -> float:
    """What the patterns dominate up to the reference point: nats a token times units of size."""
    import moocore

    points = [(loss, trade.size(p)) for p, loss in losses.items() if math.isfinite(loss)]
    if not points:
        return 0.0
    volume = moocore.hypervolume(np.array(points), ref=[reference, trade.size(trade.space.dense)])
    return float(volume)
