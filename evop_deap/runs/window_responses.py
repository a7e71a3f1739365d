"""Losses of a few probe patterns, which show how each window responds to pruning."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.base.formatting import counted
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.operators import init_uniform, mutate_swap
from evop_deap.runs.listeners.progress import Progress
from evop_deap.space import Pattern, SearchSpace

if TYPE_CHECKING:
    from evop_deap.calibration.herding import Respond
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel

PROBES = 8
_WINDOWS_FOR_INFLUENCE = 8
_MORE_SWAPS = 0.3  # probability of each further swap away from the good pattern


def probe_patterns(
    space: SearchSpace, good: Pattern, rng: random.Random, count: int = PROBES
) -> list[Pattern]:
    """Return distinct patterns: `good`, swaps of it up to half of `count`, and random ones.

    There are fewer than `count` where the space is smaller.
    """
    found = {good: None}
    wanted = min(count, space.size)
    while len(found) < wanted:
        if len(found) < count // 2 and rng.random() < 0.9:  # all swaps may be known
            (near,) = mutate_swap(
                Genome(good), rng=rng, droppable=space.droppable, more=_MORE_SWAPS
            )
            found[near.pattern] = None
        else:
            found[init_uniform(space, rng=rng).pattern] = None
    return list(found)


def responder(
    loaded: LoadedModel,
    anatomy: Anatomy,
    space: SearchSpace,
    *,
    seed: int,
    fitness: str,
    progress: Progress,
) -> Respond:
    """Return a function from windows to the losses of probe patterns on them.

    Args:
        loaded: the model.
        anatomy: the parts of the model.
        space: the patterns to draw from.
        seed: seed of the random patterns.
        fitness: "ce" or "kl".
        progress: receives progress messages.
    """

    def respond(tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        from evop_deap.fitness.model.evaluators import Evaluators
        from evop_deap.heuristics.block_influence import block_influence, least_influential

        progress.stage(f"evaluating {PROBES} probe patterns on {counted(len(tokens), 'window')}")
        rng = random.Random(seed)
        some = tokens[:_WINDOWS_FOR_INFLUENCE]
        influences = block_influence(loaded.model, anatomy, some)
        patterns = probe_patterns(space, least_influential(influences, space), rng)
        evaluators = Evaluators(loaded.model, anatomy, fitness)
        found = evaluators.fast(tokens, space, rng=rng).evaluate(patterns)
        losses: NDArray[np.float64] = found.sums / found.tokens
        finite = np.isfinite(losses).all(axis=1)
        if not finite.any():
            raise InputError(
                "`select` response: no probe pattern has finite losses on the corpus; "
                "use balanced, or a `dtype` of float32"
            )
        return losses[finite]

    return respond
