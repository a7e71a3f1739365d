"""The cost of a search alone: walks of the population evaluator without their hidden states.

What a pattern costs depends on the prefixes of its generation and on the states kept from earlier
generations. Where a shared cache answers some patterns, the evaluator walks less than it would
alone. These walks go through every pattern asked for, so their costs do not depend on the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.fitness.model.criterion import HeadRuns
from evop_deap.fitness.model.kept_states import KeptStates
from evop_deap.fitness.model.material import Material, dense_rows_work
from evop_deap.fitness.model.memory_plan import MemoryPlan
from evop_deap.fitness.model.walk import Tally, Walk
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.steps import Steps
from evop_deap.space import Pattern


class WalkedAlone:
    """The costs of a depth-first population evaluator that is asked for every pattern.

    Args:
        anatomy: the units of the model.
        steps: the steps that patterns take.
        material: the windows.
        plan: the units of windows computed together, and the states kept.
        criterion: says how often the head runs.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        steps: Steps,
        material: Material,
        plan: MemoryPlan,
        criterion: HeadRuns,
    ) -> None:
        self.kept = KeptStates(plan.kept)
        self._anew = partial(WalkedAlone, anatomy, steps, material, plan, criterion)
        self._steps = steps
        self._material, self._group = material, plan.group * material.together
        self._head_work = anatomy.head_work
        self._dense_work = dense_rows_work(material, anatomy)
        self._criterion = criterion

    def costs(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """(patterns,) costs of evaluating them on all windows, or on some by index."""
        asked = range(self._material.count) if windows is None else windows
        routes = [self._steps.taken(pattern) for pattern in patterns]
        tally = Tally(np.zeros(len(patterns)))
        for group in sorted({window // self._group for window in asked}) if patterns else []:
            some = slice(group * self._group, (group + 1) * self._group)
            size, head_rows = self._material.rows(some), self._material.head_rows(some)
            walk = Walk(
                steps=self._steps,
                routes=routes,
                group=group,
                size=size,
                start=torch.empty(1, 0),  # a state of no width
                run=lambda step, hidden: hidden,
                kept=self.kept,
                tally=tally,
            )
            ended = (row for row, _ in walk.depth_first(range(len(patterns))))
            while rows := list(islice(ended, self._criterion.at_once)):
                tally.heads(rows, self._head_work, self._criterion.heads(len(rows)), head_rows)
        return tally.spent / self._dense_work

    def anew(self) -> WalkedAlone:
        """Return the costs of another search, which keeps no states yet."""
        return self._anew()
