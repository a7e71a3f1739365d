"""Landscapes small enough to search in milliseconds, with interactions between units."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from evop_deap.fitness.landscape import Landscape, save_landscape
from evop_deap.space import Unit


def toy_landscape(
    seed: int = 0, *, units: int = 9, drops: tuple[int, ...] = (3,), windows: int = 4
) -> Landscape:
    """Every pattern that drops one of `drops` units: a cost a unit, one a pair, and noise."""
    rng = np.random.default_rng(seed)
    alone, pairs = rng.uniform(0, 1, units), rng.normal(0, 0.3, (units, units))
    patterns = np.array(
        [
            [0 if i in gone else 1 for i in range(units)]
            for n in drops
            for gone in itertools.combinations(range(units), n)
        ],
        np.uint8,
    )
    dropped = 1.0 - patterns
    losses = 2 + dropped @ alone + np.einsum("pi,ij,pj->p", dropped, pairs, dropped)
    noise = rng.normal(0, 0.05, (len(patterns), windows))
    return Landscape(
        units=tuple(Unit(str(i), 100, 10) for i in range(units)),
        patterns=patterns,
        sums=(losses[:, None] + noise) * 64,
        tokens=np.full(windows, 64),
        head_work=20,
        about={"protected": []},
    )


def write_toy_landscape(path: Path, seed: int = 0, *, drops: tuple[int, ...] = (3,)) -> Path:
    """The same as a file."""
    save_landscape(path, toy_landscape(seed, drops=drops))
    return path
