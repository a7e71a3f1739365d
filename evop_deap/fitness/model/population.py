"""The population evaluator: a whole generation walks down the model together.

Patterns that keep the same units up to some depth have the same hidden state there, so each
distinct (kept prefix, unit) is run once for all of them, and logits never exist whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from evop_deap.base.errors import InputError
from evop_deap.fitness.fitnesses import FITNESSES
from evop_deap.fitness.model.criterion import Criterion, CrossEntropy, Divergence
from evop_deap.fitness.model.kept_states import KeptStates
from evop_deap.fitness.model.memory_plan import Room
from evop_deap.fitness.model.tiles import Tile, tile_for
from evop_deap.fitness.model.walk import Tally, Walk
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.models.anatomy.entrance import BlockCall, enter
from evop_deap.models.anatomy.exit import find_exit
from evop_deap.models.anatomy.steps import Step, steps_of
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy


DEFAULT_MEMORY_BUDGET = 512 * 2**20
_VERSION = 2  # to be raised with any change that may alter a bit of a sum
_TOKENS_AT_ONCE = 2048  # of a state: enough for matrix products to run at full speed
_SHAPES_KEPT = 16  # numbers of stacked rows whose block calls are remembered


class PopulationEvaluator:
    """Judges patterns by running each distinct step of theirs once.

    On an accelerator the branches of a depth are stacked into as few calls as memory allows;
    elsewhere one branch is followed to its end before the next, which needs least memory.
    States at which patterns part ways are kept for the next call, as far as there is room.

    Args:
        model: the dense model, in evaluation mode; left as it was after every call. Its weights
            must stay what they are, since hidden states are kept.
        anatomy: its blocks or halves, from `find_anatomy`.
        tokens: (windows, length) token ids to predict, without padding.
        fitness: "ce", cross-entropy, or "kl", divergence from the dense model.
        memory_budget: bytes of hidden states to hold at the most, beside the model, as far as
            one window can be walked down with that; "kl" holds one state of every window
            whatever the budget is, and the walk has what is left.
        windows_at_once: windows that are computed together at the most; by default as many as
            fill matrix products. Where it is given, every multiple of it begins a new group.
        stacked: whether branches are stacked where there is room for it; by default on
            accelerators.
        tile: of the loss; by default by device.
        on_evaluated: called after each pattern.

    Example:
        >>> import torch
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> from evop_deap.models.anatomy.find_anatomy import find_anatomy
        >>> model = LlamaForCausalLM(LlamaConfig(
        ...     vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=3,
        ...     num_attention_heads=2)).eval()
        >>> windows = np.arange(40).reshape(2, 20)
        >>> evaluator = PopulationEvaluator(model, find_anatomy(model), windows)
        >>> evaluator.evaluate([(1, 1, 1), (1, 0, 1)]).cost < 2
        True

    Raises:
        UnsupportedModelError: what stands between the blocks and the logits is not understood.
        InputError: no such fitness.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        tokens: NDArray[np.int64],
        *,
        fitness: str = "ce",
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        windows_at_once: int | None = None,
        stacked: bool | None = None,
        tile: Tile | None = None,
        on_evaluated: Callable[[], object] | None = None,
    ) -> None:
        if fitness not in FITNESSES:
            raise InputError(f"`fitness` must be 'ce' or 'kl', but got '{fitness}'")
        self._model = model
        self._anatomy = anatomy
        self._fitness = fitness
        self._exit = find_exit(model, anatomy)
        self._on_evaluated = on_evaluated
        self._steps = steps_of(anatomy)
        self._dense_work = sum(block.work for block in anatomy.blocks) + anatomy.head_work
        self._tokens = torch.as_tensor(tokens, device=model.device)  # (windows, length)
        self._calls: dict[int, tuple[BlockCall, ...]] = {}
        with torch.inference_mode():
            one = enter(model, anatomy, self._tokens[:1]).hidden
        self._state_bytes = one.numel() * one.element_size()  # of one window
        count, length = self._tokens.shape
        most = max(1, min(count, _TOKENS_AT_ONCE // length))
        # To tell how far predictions have moved, the head's input of the dense model is held.
        self._dense_states = count if fitness == "kl" else 0
        room = Room.within(
            max(0, memory_budget // self._state_bytes - self._dense_states),
            windows=count,
            blocks=len(anatomy.blocks),
            most=most,
            whole=windows_at_once or most,
            stacked=model.device.type != "cpu" if stacked is None else stacked,
        )
        self._stacked, self._group = room.stacked, room.group
        self._together, self._stack = room.together, room.stack
        self.kept = KeptStates(room.kept)
        self.tile = tile or tile_for(model.device)
        self._criterion = self._criterion_of(fitness, self.tile)

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Judge each pattern on all windows, or on some by index."""
        count, length = self._tokens.shape
        asked = list(range(count) if windows is None else windows)
        sums = np.empty((len(patterns), count))
        tally = Tally(np.zeros(len(patterns)))
        # Windows are always computed with those they stand beside, so that a sum has the same
        # bits whatever was asked for with it.
        groups = sorted({window // self._group for window in asked}) if patterns else []
        with torch.inference_mode():
            for group in groups:
                told = self._on_evaluated if group == groups[-1] else None
                sums[:, self._windows(group)] = self._judge(patterns, group, tally, told)
        return Evaluation(
            sums[:, asked],
            np.full(len(asked), length - 1, dtype=np.int64),
            tally.spent / (count * self._dense_work),
            work=Work(
                block_tokens=tally.block_rows * length,
                head_tokens=tally.head_rows * length,
                bytes_held=self._state_bytes * (self._group * tally.states + self._dense_states),
            ),
        )

    name = "PopulationEvaluator"

    @property
    def arithmetic(self) -> str:
        """What decides the last bits of a sum, beside model, pattern, window and batch."""
        units = (
            "" if self._anatomy.granularity == "block" else f", {self._anatomy.granularity} units"
        )
        tile = f"tiles of {self.tile.tokens} x {self.tile.words}"
        return f"{self.name} {_VERSION}, {self._fitness}{units}, {tile}"

    @property
    def batches(self) -> tuple[int, ...] | None:
        """(windows,) how many windows each is computed with; None where that varies."""
        count = len(self._tokens)
        if self._stacked:
            return None
        return tuple(min(self._group, count - w // self._group * self._group) for w in range(count))

    @property
    def preparation_cost(self) -> float:
        """Dense-forward equivalents spent before the first pattern."""
        return 1.0 if isinstance(self._criterion, Divergence) else 0.0

    def _windows(self, group: int) -> slice:
        first = group * self._group
        return slice(first, min(first + self._group, len(self._tokens)))

    def _judge(
        self,
        patterns: Sequence[Pattern],
        group: int,
        tally: Tally,
        told: Callable[[], object] | None,
    ) -> NDArray[np.float64]:
        """(patterns, windows of the group) sums."""
        windows = self._windows(group)
        order: list[int] = []
        losses: list[torch.Tensor] = []  # of a pattern (windows, length - 1), on the device
        waiting: list[tuple[int, torch.Tensor]] = []

        def judge_waiting() -> None:
            rows = [row for row, _ in waiting]
            features = [self._exit.features(hidden) for _, hidden in waiting]
            losses.extend(self._criterion.losses(features, windows))
            order.extend(rows)
            runs = self._criterion.heads(len(rows))
            tally.heads(rows, self._anatomy.head_work, runs, windows.stop - windows.start)
            waiting.clear()
            if told is not None:
                for _ in rows:
                    told()

        for row, hidden in self._walk(patterns, group, tally):
            waiting.append((row, hidden))
            if len(waiting) == self._criterion.at_once:
                judge_waiting()
        if waiting:
            judge_waiting()
        # One transfer a group: the device is not waited for before.
        found = torch.stack(losses).cpu().double().sum(dim=2).numpy()
        sums: NDArray[np.float64] = np.empty_like(found)
        sums[order] = found
        return sums

    def _walk(
        self, patterns: Sequence[Pattern], group: int, tally: Tally
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Each pattern's row and last hidden state."""
        tokens = self._tokens[self._windows(group)]
        entrance = enter(self._model, self._anatomy, tokens)
        routes = [self._steps.taken(pattern) for pattern in patterns]
        walk = Walk(self._steps, routes, group, entrance, self.kept, tally)
        if not self._stacked:
            yield from walk.depth_first(range(len(patterns)))
            return
        # Neighbours in sorted order share the longest prefixes, so they walk together.
        order = sorted(range(len(patterns)), key=lambda row: patterns[row], reverse=True)
        self._calls.clear()  # of other windows: some models tell blocks more than a shape
        for first in range(0, len(order), self._together):
            yield from walk.breadth_first(
                order[first : first + self._together],
                lambda step, states: self._step_stacked(step, tokens, states),
            )

    def _step_stacked(
        self, step: Step, tokens: torch.Tensor, states: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """One step from several states; running out of memory halves the stack for good."""
        outputs: list[torch.Tensor] = []
        while len(outputs) < len(states):
            some = list(states[len(outputs) : len(outputs) + self._stack])
            try:
                stacked = step.run(self._calls_for(tokens, len(some)), torch.cat(some))
            except torch.OutOfMemoryError:
                if len(some) == 1:
                    raise
                self._stack = len(some) // 2
                continue
            outputs += stacked.split(len(tokens))
        return outputs

    def _calls_for(self, tokens: torch.Tensor, states: int) -> tuple[BlockCall, ...]:
        """How blocks are called for so many states: taken from the model once a shape."""
        rows = states * len(tokens)
        if rows not in self._calls:
            if len(self._calls) >= _SHAPES_KEPT:
                self._calls.clear()
            self._calls[rows] = enter(self._model, self._anatomy, tokens.repeat(states, 1)).calls
        return self._calls[rows]

    def _criterion_of(self, fitness: str, tile: Tile) -> Criterion:
        if fitness == "ce":
            return CrossEntropy(self._tokens, self._exit, tile)
        with torch.inference_mode():
            dense = [
                self._dense_features(self._tokens[self._windows(group)])
                for group in range(-(-len(self._tokens) // self._group))
            ]
            return Divergence(torch.cat(dense), self._exit, tile)

    def _dense_features(self, tokens: torch.Tensor) -> torch.Tensor:
        """The head's input where every block is kept: (windows, length, width)."""
        entrance = enter(self._model, self._anatomy, tokens)
        hidden = entrance.hidden
        for call, block in zip(entrance.calls, self._anatomy.blocks, strict=True):
            hidden = call(block, hidden)
        return self._exit.features(hidden)
