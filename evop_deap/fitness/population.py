"""The population evaluator: a whole generation walks down the model together.

Patterns that keep the same blocks up to some depth have the same hidden state there, so each
distinct (kept prefix, block) is run once for all of them, and logits never exist whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from evop_deap.fitness.blocked_loss import Tile, blocked_window_sums, tile_for
from evop_deap.fitness.evaluation import Evaluation
from evop_deap.models.staged import BlockCall, Entrance, enter, find_exit
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy import Anatomy


DEFAULT_MEMORY_BUDGET = 512 * 2**20
_TOKENS_AT_ONCE = 2048  # of a state: enough for matrix products to run at full speed
_STACKED_PATTERNS = 64  # that walk down together on an accelerator
_SHAPES_KEPT = 16  # numbers of stacked rows whose block calls are remembered


@dataclass(frozen=True, eq=False)
class _Branch:
    """Patterns that keep the same blocks before `depth`, and the hidden state they share."""

    rows: tuple[int, ...]
    hidden: torch.Tensor  # (windows, length, width)


class PopulationEvaluator:
    """Judges block patterns by running each distinct step of theirs once.

    On an accelerator the branches of a depth are stacked into as few calls as memory allows;
    elsewhere one branch is followed to its end before the next, which needs least memory.

    Args:
        model: the dense model, in evaluation mode; left as it was after every call.
        anatomy: its blocks, from `find_anatomy`.
        tokens: (windows, length) token ids to predict, without padding.
        memory_budget: bytes of hidden states to hold at the most, beside the model.
        stacked: whether branches are stacked; by default on accelerators.
        tile: of the loss; by default by device.
        on_evaluated: called after each pattern.

    Example:
        >>> import torch
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> from evop_deap.models.anatomy import find_anatomy
        >>> model = LlamaForCausalLM(LlamaConfig(
        ...     vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=3,
        ...     num_attention_heads=2)).eval()
        >>> windows = np.arange(40).reshape(2, 20)
        >>> evaluator = PopulationEvaluator(model, find_anatomy(model), windows)
        >>> evaluator.evaluate([(1, 1, 1), (1, 0, 1)]).cost < 2
        True

    Raises:
        UnsupportedModelError: what stands between the blocks and the logits is not understood.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        tokens: NDArray[np.int64],
        *,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        stacked: bool | None = None,
        tile: Tile | None = None,
        on_evaluated: Callable[[], object] | None = None,
    ) -> None:
        self._model = model
        self._anatomy = anatomy
        self._exit = find_exit(model, anatomy)
        self._tile = tile or tile_for(model.device)
        self._stacked = model.device.type != "cpu" if stacked is None else stacked
        self._on_evaluated = on_evaluated
        self._work = [block.work for block in anatomy.blocks]
        self._tokens = torch.as_tensor(tokens, device=model.device)  # (windows, length)
        self._calls: dict[int, tuple[BlockCall, ...]] = {}
        with torch.inference_mode():
            one = enter(model, anatomy, self._tokens[:1]).hidden
        states = memory_budget // (one.numel() * one.element_size())  # of one window
        # Depth first, a state waits at each depth at the most; stacked, one for each pattern.
        waiting = _STACKED_PATTERNS if self._stacked else len(anatomy.blocks) + 1
        fitting = max(1, states // (2 * waiting))
        self._group = min(fitting, max(1, _TOKENS_AT_ONCE // self._tokens.shape[1]))
        self._stack = max(1, states // (2 * self._group))

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Judge each pattern on all windows, or on some by index."""
        count, length = self._tokens.shape
        asked = list(range(count) if windows is None else windows)
        sums = np.empty((len(patterns), count))
        work = np.zeros(len(patterns))
        # Windows are always computed with those they stand beside, so that a sum has the same
        # bits whatever was asked for with it.
        groups = sorted({window // self._group for window in asked})
        with torch.inference_mode():
            for number in groups:
                first = number * self._group
                group = self._tokens[first : first + self._group]
                for row, hidden in self._walk(patterns, group, work):
                    features = self._exit.features(hidden)
                    found = blocked_window_sums(features, group, self._exit, self._tile)
                    sums[row, first : first + len(group)] = found.cpu().numpy()
                    work[row] += self._anatomy.head_work * len(group)
                    if number == groups[-1] and self._on_evaluated is not None:
                        self._on_evaluated()
        dense = count * (sum(self._work) + self._anatomy.head_work)
        tokens = np.full(len(asked), length - 1, dtype=np.int64)
        return Evaluation(sums[:, asked], tokens, work / dense)

    @property
    def batches(self) -> tuple[int, ...] | None:
        """(windows,) how many windows each is computed with; None where that varies."""
        count = len(self._tokens)
        if self._stacked:
            return None
        return tuple(min(self._group, count - w // self._group * self._group) for w in range(count))

    def _walk(
        self, patterns: Sequence[Pattern], group: torch.Tensor, work: NDArray[np.float64]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Each pattern's row and last hidden state; what was spent is added to `work`."""
        entrance = enter(self._model, self._anatomy, group)
        if not self._stacked:
            rows = tuple(range(len(patterns)))
            yield from self._depth_first(patterns, rows, entrance, work)
            return
        # Neighbours in sorted order share the longest prefixes, so they walk together.
        order = sorted(range(len(patterns)), key=lambda row: patterns[row], reverse=True)
        self._calls.clear()  # of other windows: some models tell blocks more than a shape
        for first in range(0, len(order), _STACKED_PATTERNS):
            rows = tuple(order[first : first + _STACKED_PATTERNS])
            yield from self._breadth_first(patterns, rows, entrance, group, work)

    def _depth_first(
        self,
        patterns: Sequence[Pattern],
        rows: tuple[int, ...],
        entrance: Entrance,
        work: NDArray[np.float64],
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """One branch to its end before the next: at most one state waits at each depth."""
        waiting = [(0, _Branch(rows, entrance.hidden))]
        while waiting:
            depth, branch = waiting.pop()
            if depth == len(self._work):
                yield from ((row, branch.hidden) for row in branch.rows)
                continue
            keeping, dropping = _parted(branch.rows, patterns, depth)
            if dropping:
                waiting.append((depth + 1, _Branch(dropping, branch.hidden)))
            if keeping:
                hidden = entrance.calls[depth](self._anatomy.blocks[depth], branch.hidden)
                work[keeping[0]] += self._work[depth] * len(hidden)
                waiting.append((depth + 1, _Branch(keeping, hidden)))

    def _breadth_first(
        self,
        patterns: Sequence[Pattern],
        rows: tuple[int, ...],
        entrance: Entrance,
        group: torch.Tensor,
        work: NDArray[np.float64],
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """All branches take a step, stacked into few calls, before any takes the next."""
        branches = [_Branch(rows, entrance.hidden)]
        for depth, block_work in enumerate(self._work):
            parted = [(branch, *_parted(branch.rows, patterns, depth)) for branch in branches]
            stepping = [(branch.hidden, keeping) for branch, keeping, _ in parted if keeping]
            outputs = self._step_stacked(depth, group, [hidden for hidden, _ in stepping])
            branches = [
                _Branch(dropping, branch.hidden) for branch, _, dropping in parted if dropping
            ]
            for (_, keeping), hidden in zip(stepping, outputs, strict=True):
                work[keeping[0]] += block_work * len(hidden)
                branches.append(_Branch(keeping, hidden))
        for branch in branches:
            yield from ((row, branch.hidden) for row in branch.rows)

    def _step_stacked(
        self, depth: int, group: torch.Tensor, states: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """One block over several states; running out of memory halves the stack for good."""
        outputs: list[torch.Tensor] = []
        while len(outputs) < len(states):
            some = list(states[len(outputs) : len(outputs) + self._stack])
            try:
                call = self._calls_for(group, len(some))[depth]
                stacked = call(self._anatomy.blocks[depth], torch.cat(some))
            except torch.OutOfMemoryError:
                if len(some) == 1:
                    raise
                self._stack = len(some) // 2
                continue
            outputs += stacked.split(len(group))
        return outputs

    def _calls_for(self, group: torch.Tensor, states: int) -> tuple[BlockCall, ...]:
        """How blocks are called for so many states: taken from the model once a shape."""
        rows = states * len(group)
        if rows not in self._calls:
            if len(self._calls) >= _SHAPES_KEPT:
                self._calls.clear()
            self._calls[rows] = enter(self._model, self._anatomy, group.repeat(states, 1)).calls
        return self._calls[rows]


def _parted(
    rows: Sequence[int], patterns: Sequence[Pattern], depth: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The rows whose patterns keep the block at `depth`, and those whose patterns drop it."""
    keeping = tuple(row for row in rows if patterns[row][depth])
    dropping = tuple(row for row in rows if not patterns[row][depth])
    return keeping, dropping
