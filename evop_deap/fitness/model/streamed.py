"""The evaluator of a model whose weights stay in their files, block by block for all patterns.

A generation visits each block once: the block is read, run for all patterns and windows that keep
it, and let go. So a pass over the file is shared by all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch

from evop_deap.base.errors import InputError, not_pickled
from evop_deap.fitness.model.grouping import arithmetic_of, batches_of
from evop_deap.fitness.model.kept_states import KeptStates
from evop_deap.fitness.model.material import TextWindows
from evop_deap.fitness.model.memory_plan import MemoryPlan
from evop_deap.fitness.model.population import DEFAULT_MEMORY_BUDGET
from evop_deap.fitness.model.state_store import State, StateStore
from evop_deap.fitness.model.streamed_criterion import (
    StreamedCriterion,
    StreamedCrossEntropy,
    StreamedDivergence,
    Waiting,
)
from evop_deap.fitness.model.streamed_walk import StreamedWalk
from evop_deap.fitness.model.tiles import tile_for
from evop_deap.fitness.model.walk import Tally
from evop_deap.fitness.model.walked_alone import WalkedAlone
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.entrance import enter
from evop_deap.models.anatomy.exit import find_exit
from evop_deap.models.anatomy.steps import steps_of
from evop_deap.models.streaming.offloaded import stream_offloaded
from evop_deap.models.streaming.streamed_weights import StreamedWeights, weights_of
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy


class StreamedEvaluator:
    """Evaluates patterns, and reads each block and the head once in a call.

    Sums have the same bits as those of a `PopulationEvaluator` of the model in memory. No hidden
    state is kept for the next call.

    Args:
        model: the dense model, in evaluation mode.
        anatomy: its blocks or halves, from `find_anatomy`.
        tokens: (windows, length) token ids to predict, without padding.
        weights: the weights of `model`; by default those that it has, or that accelerate keeps on
            the disk or the host for it.
        fitness: "ce" or "kl".
        memory_budget: largest size of hidden states in bytes, half of it for the walk and half for
            the head; "kl" takes half for the dense model's inputs of the head first. What does not
            fit is written to a temporary file.
        windows_at_once: largest number of windows computed together, as in `PopulationEvaluator`.
        on_evaluated: called after each pattern.

    Raises:
        InputError: the weights of `model` are in memory, or cannot be streamed.
        UnsupportedModelError: the modules between the blocks and the logits are not supported.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        tokens: NDArray[np.int64],
        weights: StreamedWeights | None = None,
        *,
        fitness: str = "ce",
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        windows_at_once: int | None = None,
        on_evaluated: Callable[[], object] | None = None,
    ) -> None:
        self.model, self._anatomy, self.weights = model, anatomy, weights or _streamed(model)
        self._exit = find_exit(model, anatomy)
        self.weights.let_go(anatomy.head)
        self._steps = steps_of(anatomy)
        self._on_evaluated = on_evaluated
        device = device_of(model)
        self._tokens = torch.as_tensor(tokens, device=device)  # (windows, length)
        self._fitness = fitness
        with torch.inference_mode():
            one = enter(model, anatomy, self._tokens[:1]).hidden
        material = TextWindows(tokens, device)
        dense_states = material.count if fitness == "kl" else 0
        plan = MemoryPlan.within(
            max(0, memory_budget // one.nbytes - dense_states),
            windows=material.count,
            blocks=len(anatomy.blocks),
            most=material.most,
            whole=material.whole(windows_at_once),
            stacked=False,
        )
        self._group = plan.group
        self.tile = tile_for(device)
        self.kept = KeptStates(0)
        self._budget = memory_budget // (2 if dense_states else 1)
        self._dense = StateStore(self._budget)
        self._criterion = self._criterion_of(fitness)
        self.alone = WalkedAlone(anatomy, self._steps, material, plan, self._criterion)

    name = "StreamedEvaluator"

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index."""
        count, length = self._tokens.shape
        asked = list(range(count) if windows is None else windows)
        sums = np.empty((len(patterns), count))
        tally = Tally(np.zeros(len(patterns)))
        # Windows are always computed in the same groups, so that a sum has the same bits in
        # every call.
        groups = sorted({window // self._group for window in asked}) if patterns else []
        with torch.inference_mode(), StateStore(self._budget // 2) as store:
            walks = self._walked(patterns, groups, store, tally)
            for rows, some, losses in self._losses(walks, tally):
                found = torch.stack([losses]).cpu().double().sum(dim=2).numpy()
                sums[list(rows), some] = found
        if self._on_evaluated is not None:
            for _ in patterns:
                self._on_evaluated()
        costs = tally.spent / (count * self._anatomy.dense_work)
        return Evaluation(
            sums[:, asked],
            np.full(len(asked), length - 1, dtype=np.int64),
            costs,
            Work(
                block_tokens=tally.block_rows * length,
                head_tokens=tally.head_rows * length,
                bytes_held=store.most_in_memory + self._dense.in_memory,
                executed=float(costs.sum()),
            ),
        )

    @property
    def arithmetic(self) -> str:
        """That of a `PopulationEvaluator`, with which losses are shared."""
        return arithmetic_of(self._fitness, self._anatomy, self.tile)

    @property
    def batches(self) -> tuple[int, ...]:
        """(windows,) size of the batch in which each window is computed."""
        return batches_of(len(self._tokens), self._group)

    @property
    def preparation_cost(self) -> float:
        """Dense-forward equivalents spent before the first pattern."""
        return 1.0 if self._fitness == "kl" else 0.0

    def __getstate__(self) -> NoReturn:
        raise not_pickled(self, "a model")

    def _windows(self, group: int) -> slice:
        first = group * self._group
        return slice(first, min(first + self._group, len(self._tokens)))

    def _walked(
        self,
        patterns: Sequence[Pattern],
        groups: Sequence[int],
        store: StateStore,
        tally: Tally,
    ) -> dict[int, StreamedWalk]:
        """Take all patterns through all blocks, and return the walk of each group."""
        routes = [self._steps.taken(pattern) for pattern in patterns]
        walks: dict[int, StreamedWalk] = {}
        for group in groups:
            entrance = enter(self.model, self._anatomy, self._tokens[self._windows(group)])
            start = store.put(entrance.hidden)
            walks[group] = StreamedWalk(routes, entrance.calls, start, store, tally)
        places = sorted({place for route in routes for place in route}) if groups else []
        steps = {place: self._steps[place] for place in places}
        turns = {
            block.index: list(own)
            for block, own in itertools.groupby(places, key=lambda place: steps[place].block)
        }
        blocks = (self._anatomy.blocks[index] for index in turns)
        for block in self.weights.passing(blocks):
            for place in turns[block.index]:
                for walk in walks.values():
                    walk.take(place, steps[place])
        return walks

    def _losses(
        self, walks: dict[int, StreamedWalk], tally: Tally
    ) -> Iterator[tuple[tuple[int, ...], slice, torch.Tensor]]:
        """Yield patterns, windows and their (windows, length - 1) losses.

        As many inputs of the head are in memory as fit, and the head is read once for them.
        """
        waiting: list[Waiting] = []
        size, known = 0, -1
        for group, walk in walks.items():
            windows = self._windows(group)
            while walk.branches:
                branch = walk.branches.pop()
                more = branch.state.size
                if group != known:
                    more += self._criterion.size(group)
                if waiting and 2 * (size + more) > self._budget:
                    yield from self._evaluated(waiting, tally)
                    waiting, size = [], 0
                    more = branch.state.size + self._criterion.size(group)
                features = self._exit.features(branch.state.tensor())
                waiting.append(Waiting(branch.rows, group, windows, features))
                size, known = size + more, group
        if waiting:
            yield from self._evaluated(waiting, tally)

    def _evaluated(
        self, waiting: Sequence[Waiting], tally: Tally
    ) -> Iterator[tuple[tuple[int, ...], slice, torch.Tensor]]:
        work = self._anatomy.head_work
        for _, group in itertools.groupby(waiting, key=lambda one: one.group):
            some = list(group)
            count = len(some[0].features)
            for one in some:
                tally.heads(one.rows, work, 1, count)
            more = self._criterion.heads(len(some)) - len(some)
            tally.heads([row for one in some for row in one.rows], work, more, count)
        for one, losses in zip(waiting, self._criterion.losses(waiting), strict=True):
            yield one.rows, one.windows, losses

    def _criterion_of(self, fitness: str) -> StreamedCriterion:
        if fitness == "ce":
            return StreamedCrossEntropy(self._tokens, self._exit, self.tile, self.weights)
        with torch.inference_mode():
            dense = self._dense_features()
            return StreamedDivergence(dense, self._exit, self.tile, self.weights, self._budget // 2)

    def _dense_features(self) -> dict[int, State]:
        """Return the (windows, length, width) input of the head in the dense model by group."""
        groups = range(-(-len(self._tokens) // self._group))
        entrances = [
            enter(self.model, self._anatomy, self._tokens[self._windows(group)]) for group in groups
        ]
        calls = [entrance.calls for entrance in entrances]
        states = [self._dense.put(entrance.hidden) for entrance in entrances]
        del entrances
        for block in self.weights.passing(self._anatomy.blocks):
            for group in groups:
                hidden = calls[group][block.index](block, states[group].tensor())
                states[group] = self._dense.put(hidden)
        for group in groups:
            states[group] = self._dense.put(self._exit.features(states[group].tensor()))
        return dict(enumerate(states))


def _streamed(model: PreTrainedModel) -> StreamedWeights:
    """Return the streamed weights of a model."""
    stream_offloaded(model)
    weights = weights_of(model)
    if weights is None:
        raise InputError(
            f"the weights of {type(model).__name__} are in memory: choose PopulationEvaluator, or "
            "give `weights`"
        )
    return weights
