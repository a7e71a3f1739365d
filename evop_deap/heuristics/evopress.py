"""EvoPress (Sieberling et al. 2024, arXiv 2410.14649, algorithm 1): mutation and cheap selection.

A (1 + λ) evolution strategy. Its only mutation is the level switch: a dropped unit is restored and
a kept unit of its kind is dropped. The number of switches is the smaller of two draws from 1 to 3.
Selection has two steps, the second on more calibration text. The first step keeps two of λ = 32
children; in the second, the better one replaces the parent if its loss is lower. Every step draws
its windows anew, so that no pattern wins by chance on one sample. The first parent is the best of
64 random patterns in a first step.

Over halves, as many of attention as of MLP are dropped, where the budget is a plain count.

The authors' steps take 2,048 and 32,768 of 131,072 tokens. Calibration sets here may have only
eight windows, so the steps take an eighth and a half of the windows. Windows on which a pattern
was evaluated before cost nothing. The authors' criterion is `--fitness kl`. The number of
generations is that of their script, k (n - k) / 1.5, unless a limit is reached earlier.

Their script draws a child anew if it repeats the parent or another child. Here such a child takes
a place: 1 to 9 % of the children, at 10 to 33 % of 30 blocks or 60 halves.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.limited_meter import LimitedMeter
from evop_deap.heuristics.task import Pick, Task
from evop_deap.space import Pattern, SearchSpace, dropped_units, kept_units

if TYPE_CHECKING:
    from evop_deap.evolution.operators import Individual

OFFSPRING, FIRST_PATTERNS, SURVIVORS = 32, 64, 2
_STEPS = (1 / 8, 1 / 2)  # share of the windows in each selection step


def pick(task: Task) -> Pick:
    """Return the last parent."""
    space, rng, meter = task.space, task.rng, LimitedMeter(task)
    windows = len(task.evaluator.evaluate([]).tokens)
    count = max(1, min(FIRST_PATTERNS, meter.left))
    first_patterns = [_first(space, rng) for _ in range(count)]
    (parent,) = _select(first_patterns, 1, meter, _draw(windows, _STEPS[0], rng))
    gone = len(dropped_units(parent))
    for _ in range(round(gone * (len(space.droppable) - gone) / 1.5)):
        if (left := meter.left) == 0:
            break
        children = [_child(parent, space, rng) for _ in range(min(OFFSPRING, left))]
        best = _select(children, SURVIVORS, meter, _draw(windows, _STEPS[0], rng))
        (parent,) = _select([parent, *best], 1, meter, _draw(windows, _STEPS[1], rng))
    return Pick(parent, cost=meter.cost, evaluations=meter.evaluations, work=meter.work)


HEURISTIC = Heuristic("evopress", "EvoPress", pick, searches=True)


def level_switch(
    individual: Individual, *, rng: random.Random, space: SearchSpace
) -> tuple[Individual]:
    """Mutate in place, with DEAP's signature: one to three switches, one most often."""
    for _ in range(min(rng.randint(1, 3), rng.randint(1, 3))):
        kinds = [unit.kind for unit in space.units]
        back = rng.choice(dropped_units(individual))
        others = [u for u in kept_units(individual) if u in space.droppable]
        alike = [unit for unit in others if kinds[unit] == kinds[back]]
        if alike:
            individual[rng.choice(alike)], individual[back] = 0, 1
    if tuple(individual) not in space:  # units of one kind may differ in size
        wished = rng.sample(space.droppable, len(space.droppable))
        individual[:] = space.greedy(sorted(wished, key=individual.__getitem__))
    return (individual,)


def _first(space: SearchSpace, rng: random.Random) -> Pattern:
    """Return a random pattern; of a plain count, with equally many dropped units of each kind.

    The unit left over of an odd count is of a random kind.
    """
    kinds = sorted({space.units[unit].kind for unit in space.droppable})
    if len(kinds) == 1 or not space.is_count:
        return space.random_pattern(rng)
    wished = rng.sample(space.droppable, len(space.droppable))
    turns = [
        [unit for unit in wished if space.units[unit].kind == kind]
        for kind in rng.sample(kinds, len(kinds))
    ]
    in_turn = chain.from_iterable(zip_longest(*turns))
    return space.greedy(unit for unit in in_turn if unit is not None)


def _child(parent: Pattern, space: SearchSpace, rng: random.Random) -> Pattern:
    (child,) = level_switch([*parent], rng=rng, space=space)
    return tuple(child)


def _draw(windows: int, share: float, rng: random.Random) -> list[int]:
    """Return indices of a random share of the windows, at least one."""
    return sorted(rng.sample(range(windows), max(1, round(share * windows))))


def _select(
    patterns: Sequence[Pattern], count: int, meter: LimitedMeter, windows: Sequence[int]
) -> list[Pattern]:
    """Return the patterns of lowest loss on these windows, ties in their order."""
    losses = meter.evaluate(patterns, windows).losses.tolist()
    ranked = sorted(range(len(patterns)), key=losses.__getitem__)
    return [patterns[place] for place in ranked[:count]]
