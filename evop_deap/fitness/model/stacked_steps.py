"""Steps from several hidden states at once, stacked into as few calls as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from evop_deap.fitness.model.device_pipeline import DevicePipeline
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.entrance import BlockCall
from evop_deap.models.anatomy.steps import Step

_SHAPES_KEPT = 16  # number of stack sizes whose block calls are cached


@dataclass(eq=False)
class StackLimit:
    """The number of states that go into one call, in all walks of an evaluator."""

    states: int


@dataclass(eq=False)
class StackedSteps:
    """Runs steps from states of one group of windows.

    Attributes:
        limit: the number of states in a call; it is halved if memory runs out.
        enter: returns the calls of all blocks for a number of stacked states.
        pipeline: says when a device is free.
    """

    limit: StackLimit
    enter: Callable[[int], tuple[BlockCall, ...]]
    pipeline: DevicePipeline
    _calls: dict[int, tuple[BlockCall, ...]] = field(default_factory=dict)

    def __call__(self, step: Step, states: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run a step from several states."""
        place = device_of(step.block.module)
        outputs: list[torch.Tensor] = []
        while len(outputs) < len(states):
            some = states[len(outputs) : len(outputs) + self.limit.states]
            calls = self._calls_for(len(some))
            try:
                # States of branches that skip blocks are still on an earlier device.
                together = torch.cat([state.to(place) for state in some])
                stacked = self.pipeline.run(step, calls, together)
            except torch.OutOfMemoryError:
                if len(some) == 1:
                    raise
                self.limit.states = len(some) // 2
                continue
            outputs += stacked.split(len(some[0]))
        return outputs

    def _calls_for(self, states: int) -> tuple[BlockCall, ...]:
        """The calls of the blocks for this number of states, captured once per number."""
        if states not in self._calls:
            if len(self._calls) >= _SHAPES_KEPT:
                self._calls.clear()
            self._calls[states] = self.enter(states)
        return self._calls[states]
