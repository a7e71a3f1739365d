"""NSGA-II (Deb et al. 2002) over patterns with any number of drops: operators and strategies.

DEAP does the sorting and the crowding distances. Its tournament draws from the global random
generator, so ours takes a generator as an argument.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from deap import base, tools

from evop_deap.evolution.genome import Genome
from evop_deap.evolution.operators import (
    Individual,
    WithinBudget,
    mate_agreeing,
    mutate_mixed,
    mutate_resize,
    select_crowded,
)
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.proposals import distinct
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.strategies import Strategies
from evop_deap.evolution.survival import Survival
from evop_deap.evolution.trade import Trade
from evop_deap.fitness.protocol import Evaluator
from evop_deap.space import Pattern, SearchSpace

SURVIVORS = 16  # at least: a front spans many sizes, each with some survivors
_RESIZED = 0.5  # share of mutations that change the number of dropped units


def front_toolbox(trade: Trade, rng: random.Random, settings: EvolutionSettings) -> base.Toolbox:
    """Return the operators of a search for a front; the evaluation is part of the strategies."""
    toolbox = base.Toolbox()
    toolbox.register("individual", init_any_size, trade, rng=rng)
    toolbox.register("population", init_spread, trade, attempts=settings.attempts, rng=rng)
    toolbox.register("mate", mate_agreeing, rng=rng)
    toolbox.register(
        "mutate",
        mutate_or_resize,
        space=trade.space,
        neighbour=settings.neighbour,
        more=settings.more_swaps,
        rng=rng,
    )
    if trade.space.constraints:
        for name in ("mate", "mutate"):
            repaired = partial(WithinBudget, space=trade.space, rng=rng, any_size=True)
            toolbox.decorate(name, repaired)
    toolbox.register("select", select_crowded, tournsize=settings.tournament, rng=rng)
    return toolbox


def front_strategies(trade: Trade, evaluator: Evaluator) -> Strategies:
    """Return the strategies of a search for a front: proposal, evaluation and survival."""
    return Strategies(
        evaluate=evaluator.evaluate,
        propose=partial(propose_ranked, trade=trade),
        survival=FrontSurvival(trade),
    )


def init_any_size(trade: Trade, *, rng: random.Random) -> Genome:
    """Draw a pattern whose number of drops is uniform from 1 to the largest."""
    return trade.drawn(rng.randint(1, trade.space.n_drop), rng)


def init_spread(trade: Trade, n: int, *, attempts: int, rng: random.Random) -> list[Genome]:
    """Draw up to `n` different patterns whose numbers of drops are evenly spread."""
    sizes = np.linspace(1, trade.space.n_drop, max(n, 1)).round().astype(int).tolist()
    found: dict[Pattern, Genome] = {}
    for size in sizes[:n]:
        for _ in range(attempts):
            drawn = trade.drawn(size, rng)
            if drawn.pattern not in found:
                found[drawn.pattern] = drawn
                break
    return list(found.values())


def mutate_or_resize(
    individual: Individual,
    *,
    space: SearchSpace,
    neighbour: float,
    more: float,
    rng: random.Random,
) -> tuple[Individual]:
    """Mutate in place: `mutate_resize` with probability 0.5, else `mutate_mixed`."""
    droppable, blocks = space.droppable, space.blocks
    if rng.random() < _RESIZED:
        return mutate_resize(individual, rng=rng, droppable=droppable, most=space.n_drop)
    return mutate_mixed(
        individual, rng=rng, droppable=droppable, blocks=blocks, neighbour=neighbour, more=more
    )


def propose_ranked(
    population: Sequence[Genome],
    seen: Collection[Pattern],
    count: int,
    toolbox: base.Toolbox,
    rng: random.Random,
    settings: EvolutionSettings,
    *,
    trade: Trade,
) -> list[Genome]:
    """Up to `count` children of tournament winners by rank and crowding, or random patterns.

    None of them is in `seen`.
    """
    # A loaded population has only its losses; this adds sizes, ranks and crowding distances.
    parents = tools.selNSGA2(trade.members(population), len(population))

    def child() -> Genome:
        child = Genome(*toolbox.select(parents, 1))
        crossed = rng.random() < settings.crossover
        if crossed:
            child, _ = toolbox.mate(child, Genome(*toolbox.select(parents, 1)))
        if not crossed or rng.random() < settings.mutation:
            (child,) = toolbox.mutate(child)
        return Genome(child)

    return distinct(
        count, seen, related=child, fresh=toolbox.individual, attempts=settings.attempts
    )


@dataclass(frozen=True)
class FrontSurvival(Survival):
    """Survival by rank, and by crowding distance within the last rank.

    The logbook gets the "hypervolume" that the patterns dominate, in nats per token times units of
    size, up to a reference point: "reference_loss" is the worst loss of the first generation that
    has a finite one, "reference_size" the dense model's size. A generation is better if the
    hypervolume grows.
    """

    trade: Trade

    def survivors(self, individuals: Sequence[Genome], count: int) -> tuple[Genome, ...]:
        """The best `count` of them, but at least 16, sorted by loss."""
        best = tools.selNSGA2(self.trade.members(individuals), max(count, SURVIVORS))
        return tuple(sorted(best, key=lambda member: member.loss))

    def columns(
        self, losses: Mapping[Pattern, float], earlier: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The hypervolume and its reference point."""
        import moocore

        points = self.trade.points(losses)
        known = [row["reference_loss"] for row in earlier if row["reference_loss"] is not None]
        reference = known[0] if known else max((loss for loss, _ in points), default=None)
        dense = self.trade.size(self.trade.space.dense)
        volume = moocore.hypervolume(np.array(points), ref=[reference, dense]) if points else 0.0
        return {
            "hypervolume": float(volume),
            "reference_loss": reference,
            "reference_size": dense,
        }

    def improved(self, before: EvolutionState, after: EvolutionState) -> bool:
        """Whether the hypervolume has grown."""
        volumes: list[float] = [s.records[-1]["hypervolume"] for s in (before, after)]
        return volumes[0] < volumes[1]
