"""Populations of a space with fewer patterns than are asked for."""

from __future__ import annotations

import random
from itertools import combinations

from benchmarks.evaluator.quantised import drawn
from benchmarks.evaluator.speed import children_of, populations
from evop_deap.evolution.operators import init_uniform
from evop_deap.space import SearchSpace, Unit

SPACE = SearchSpace([Unit(str(block), parameters=1, work=1) for block in range(4)], n_drop=2)


def test_a_population_holds_no_more_patterns_than_there_are() -> None:
    rng = random.Random(0)
    elite = init_uniform(SPACE, rng=rng)
    children = children_of(elite, 64, SPACE, rng)
    assert set(children) <= {SPACE.pattern(pair) for pair in combinations(range(4), 2)} - {
        elite.pattern
    }
    assert len(children) == SPACE.size - 1
    assert len(drawn(SPACE, 40, seed=0)) == SPACE.size
    assert len(populations(SPACE, rng)["random"]) == SPACE.size
