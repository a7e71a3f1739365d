"""EvoPress (Sieberling et al. 2024, arXiv 2410.14649, algorithm 1): mutation and cheap selection.

A (1 + λ) evolution. Children are made by level switches alone: a dropped unit comes back and a
kept one of its kind goes, as often as the smaller of two numbers drawn from 1 to 3 says. They
are selected in steps, on more and more calibration text: of λ = 32 children two remain after a
first look, and the better of them replaces the parent if it beats it at the second. The text is
drawn anew at every step, so that no pattern wins by what it does on one sample. The first parent
is the best of 64 random patterns at a first look.

The authors' looks take 2,048 and 32,768 of 131,072 tokens. Calibration sets here may be eight
windows, of which 1/64 is less than one: the looks take an eighth and a half of the windows.
Windows of a pattern judged before cost nothing. `--fitness kl` is the authors' own criterion.
The number of generations is that of their script, k (n - k) / 1.5, if no limit is met sooner.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evop_deap.heuristics.heuristic import Heuristic
from evop_deap.heuristics.limited_meter import LimitedMeter
from evop_deap.heuristics.task import Pick, Task
from evop_deap.space import Pattern, SearchSpace, dropped_units, kept_units

if TYPE_CHECKING:
    from evop_deap.evolution.operators import Individual

OFFSPRING, BEGINNERS, FINALISTS = 32, 64, 2
_LOOKS = (1 / 8, 1 / 2)  # shares of the windows


def pick(task: Task) -> Pick:
    """The last parent."""
    space, rng, meter = task.space, task.rng, LimitedMeter(task)
    windows = len(task.evaluator.evaluate([]).tokens)
    count = max(1, min(BEGINNERS, meter.left))
    beginners = [space.random_pattern(rng) for _ in range(count)]
    (parent,) = _select(beginners, 1, meter, _draw(windows, _LOOKS[0], rng))
    gone = len(dropped_units(parent))
    for _ in range(round(gone * (len(space.droppable) - gone) / 1.5)):
        if (left := meter.left) == 0:
            break
        children = [_child(parent, space, rng) for _ in range(min(OFFSPRING, left))]
        best = _select(children, FINALISTS, meter, _draw(windows, _LOOKS[0], rng))
        (parent,) = _select([parent, *best], 1, meter, _draw(windows, _LOOKS[1], rng))
    return Pick(parent, cost=meter.cost, evaluations=meter.evaluations, work=meter.work)


HEURISTIC = Heuristic("evopress", "EvoPress", pick, searches=True)


def level_switch(
    individual: Individual, *, rng: random.Random, space: SearchSpace
) -> tuple[Individual]:
    """Mutation in place, with DEAP's signature: one to three switches, few more often than many."""
    for _ in range(min(rng.randint(1, 3), rng.randint(1, 3))):
        kinds = [unit.kind for unit in space.units]
        back = rng.choice(dropped_units(individual))
        others = [u for u in kept_units(individual) if u in space.droppable]
        alike = [unit for unit in others if kinds[unit] == kinds[back]]
        if alike:
            individual[rng.choice(alike)], individual[back] = 0, 1
    if tuple(individual) not in space:  # units of one kind need not weigh the same
        wished = rng.sample(space.droppable, len(space.droppable))
        individual[:] = space.greedy(sorted(wished, key=individual.__getitem__))
    return (individual,)


def _child(parent: Pattern, space: SearchSpace, rng: random.Random) -> Pattern:
    (child,) = level_switch([*parent], rng=rng, space=space)
    return tuple(child)


def _draw(windows: int, share: float, rng: random.Random) -> list[int]:
    """Some of the windows, by index, one at least."""
    return sorted(rng.sample(range(windows), max(1, round(share * windows))))


def _select(
    patterns: Sequence[Pattern], count: int, meter: LimitedMeter, windows: Sequence[int]
) -> list[Pattern]:
    """The best on these windows, of equals those that came first."""
    losses = meter.evaluate(patterns, windows).losses.tolist()
    ranked = sorted(range(len(patterns)), key=losses.__getitem__)
    return [patterns[place] for place in ranked[:count]]
