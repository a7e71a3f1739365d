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

from evop_deap.base.errors import not_pickled
from evop_deap.fitness.model.criterion import CrossEntropy
from evop_deap.fitness.model.grouping import arithmetic_of, batches_of
from evop_deap.fitness.model.kept_states import KeptStates
from evop_deap.fitness.model.material import TextWindows
from evop_deap.fitness.model.memory_plan import MemoryPlan
from evop_deap.fitness.model.state_store import StateStore
from evop_deap.fitness.model.streamed_head import streamed_losses
from evop_deap.fitness.model.streamed_walk import StreamedWalk
from evop_deap.fitness.model.tiles import tile_for
from evop_deap.fitness.model.walk import Tally
from evop_deap.fitness.model.walked_alone import WalkedAlone
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.models.anatomy.entrance import enter
from evop_deap.models.anatomy.exit import find_exit
from evop_deap.models.anatomy.steps import steps_of
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.streaming.streamed_weights import StreamedWeights


class StreamedEvaluator:
    """Evaluates patterns, and reads each block and the head once in a call.

    Sums have the same bits as those of a `PopulationEvaluator` of the model in memory. No hidden
    state is kept for the next call.

    Args:
        model: the dense model, in evaluation mode.
        anatomy: its blocks or halves, from `find_anatomy`.
        tokens: (windows, length) token ids to predict, without padding.
        weights: the weights of `model`.
        memory_budget: largest size of hidden states in bytes, half of it for the walk and half for
            the head. What does not fit is written to a temporary file.
        windows_at_once: largest number of windows computed together, as in `PopulationEvaluator`.
        on_evaluated: called after each pattern.

    Raises:
        UnsupportedModelError: the modules between the blocks and the logits are not supported.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        tokens: NDArray[np.int64],
        weights: StreamedWeights,
        *,
        memory_budget: int,
        windows_at_once: int | None = None,
        on_evaluated: Callable[[], object] | None = None,
    ) -> None:
        self.model, self._anatomy, self.weights = model, anatomy, weights
        self._exit = find_exit(model, anatomy)
        weights.let_go(anatomy.head)
        self._steps = steps_of(anatomy)
        self._on_evaluated = on_evaluated
        self._tokens = torch.as_tensor(tokens, device=model.device)  # (windows, length)
        self._budget = memory_budget
        with torch.inference_mode():
            one = enter(model, anatomy, self._tokens[:1]).hidden
        material = TextWindows(tokens, model.device)
        plan = MemoryPlan.within(
            memory_budget // one.nbytes,
            windows=material.count,
            blocks=len(anatomy.blocks),
            most=material.most,
            whole=material.whole(windows_at_once),
            stacked=False,
        )
        self._group = plan.group
        self.tile = tile_for(model.device)
        self.kept = KeptStates(0)
        criterion = CrossEntropy(self._tokens, self._exit, self.tile)
        self.alone = WalkedAlone(anatomy, self._steps, material, plan, criterion)

    name = "StreamedEvaluator"
    preparation_cost = 0.0

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
                bytes_held=store.most_in_memory,
                executed=float(costs.sum()),
            ),
        )

    @property
    def arithmetic(self) -> str:
        """That of a `PopulationEvaluator`, with which losses are shared."""
        return arithmetic_of("ce", self._anatomy, self.tile)

    @property
    def batches(self) -> tuple[int, ...]:
        """(windows,) size of the batch in which each window is computed."""
        return batches_of(len(self._tokens), self._group)

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
        waiting: list[tuple[tuple[int, ...], slice, torch.Tensor]] = []
        size = 0
        for group, walk in walks.items():
            windows = self._windows(group)
            while walk.branches:
                branch = walk.branches.pop()
                if waiting and 2 * (size + branch.state.size) > self._budget:
                    yield from self._evaluated(waiting)
                    waiting, size = [], 0
                waiting.append((branch.rows, windows, self._exit.features(branch.state.tensor())))
                size += branch.state.size
                tally.heads(branch.rows, self._anatomy.head_work, 1, windows.stop - windows.start)
        if waiting:
            yield from self._evaluated(waiting)

    def _evaluated(
        self, waiting: Sequence[tuple[tuple[int, ...], slice, torch.Tensor]]
    ) -> Iterator[tuple[tuple[int, ...], slice, torch.Tensor]]:
        several = [(features, self._tokens[windows]) for _, windows, features in waiting]
        losses = streamed_losses(several, self._exit, self.tile, self.weights)
        for (rows, windows, _), found in zip(waiting, losses, strict=True):
            yield rows, windows, found
