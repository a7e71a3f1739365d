"""The population evaluator, which evaluates a whole generation in one walk through the model.

Patterns that keep the same units up to some depth have the same hidden state there, so each
distinct (kept prefix, unit) runs once for all of them. Losses are computed in tiles, without ever
holding the whole logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch

from evop_deap.base.errors import not_pickled
from evop_deap.fitness.model.compensator import Compensator
from evop_deap.fitness.model.criterion import Answers, Criterion, CrossEntropy, Divergence
from evop_deap.fitness.model.device_pipeline import DevicePipeline
from evop_deap.fitness.model.grouping import arithmetic_of, batches_of
from evop_deap.fitness.model.kept_states import KeptStates
from evop_deap.fitness.model.material import PackedQuestions, dense_rows_work, material_of
from evop_deap.fitness.model.memory_plan import MemoryPlan
from evop_deap.fitness.model.stacked_steps import StackedSteps, StackLimit
from evop_deap.fitness.model.tiles import Tile, tile_for
from evop_deap.fitness.model.walk import Tally, Walk
from evop_deap.fitness.model.walked_alone import WalkedAlone
from evop_deap.fitness.model.window_kinds import Part
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.models.anatomy.devices import check_on_devices, device_of, devices_of
from evop_deap.models.anatomy.entrance import Entrance, enter
from evop_deap.models.anatomy.exit import find_exit
from evop_deap.models.anatomy.steps import steps_of
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

DEFAULT_MEMORY_BUDGET = 512 * 2**20


class PopulationEvaluator:
    """Evaluates patterns and runs each of their distinct steps once.

    On an accelerator the branches at a depth are stacked into as few calls as memory allows.
    Elsewhere each branch is followed to its end before the next one, which needs the least memory.
    States at which patterns diverge are kept for the next call if there is room. A model that
    accelerate has spread over several devices has a group of windows on each of them at once.

    Args:
        model: the dense model, in evaluation mode; unchanged after every call. Its weights must
            not change, because hidden states are kept.
        anatomy: its blocks or halves, from `find_anatomy`.
        tokens: (windows, length) token ids to predict, without padding; `Questions` for "answers".
        fitness: "ce", cross-entropy; "kl", divergence from the dense model; or "answers".
        memory_budget: largest size of the hidden states on a device in bytes, exceeded only if a
            single window needs more. "kl" always holds one state of every window.
        windows_at_once: largest number of windows computed together; by default enough for fast
            matrix products. If given, every multiple of it starts a new group.
        stacked: whether to stack branches if there is room; by default on accelerators.
        tile: size of the tiles of the loss; by default chosen for the device.
        compensator: compensates every pattern; by default the weights stay as they are.
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
        UnsupportedModelError: the modules between the blocks and the logits are not supported.
        InputError: the fitness is unknown, or weights are on the disk or the host.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        tokens: Part,
        *,
        fitness: str = "ce",
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        windows_at_once: int | None = None,
        stacked: bool | None = None,
        tile: Tile | None = None,
        compensator: Compensator | None = None,
        on_evaluated: Callable[[], object] | None = None,
    ) -> None:
        check_on_devices(model)
        self.model = model
        self._anatomy = anatomy
        self._pipeline = DevicePipeline(devices_of(anatomy), device_of(anatomy.head))
        self._fitness = fitness
        self._exit = find_exit(model, anatomy)
        self._on_evaluated = on_evaluated
        self._steps = steps_of(anatomy) if compensator is None else compensator.steps
        self._weights = "" if compensator is None else f", {compensator.name}"
        self._material = material = material_of(tokens, fitness, model.device, model.dtype)
        self._dense_work = dense_rows_work(material, anatomy)
        with torch.inference_mode():
            one = self._enter(material.largest).hidden
        self._state_bytes = one.numel() * one.element_size()  # of one unit of windows
        count = -(-material.count // material.together)
        # The divergence needs the dense model's input of the head for every window.
        self._dense_states = count if fitness == "kl" else 0
        room = MemoryPlan.within(
            max(0, memory_budget // self._state_bytes - self._dense_states),
            windows=count,
            blocks=len(anatomy.blocks),
            most=material.most,
            whole=material.whole(windows_at_once),
            stacked=model.device.type != "cpu" if stacked is None else stacked,
        )
        self._stacked, self._units = room.stacked, room.group
        self._group = room.group * material.together
        self._together, self._stack = room.together, StackLimit(room.stack)
        self.kept = KeptStates(room.kept)
        self.tile = tile or tile_for(self._exit.weight.device)
        self._criterion = self._criterion_of(fitness, self.tile)
        self.alone = (
            None
            if room.stacked
            else WalkedAlone(anatomy, self._steps, material, room, self._criterion)
        )

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index."""
        count, length = self._material.count, self._material.row_tokens
        asked = list(range(count) if windows is None else windows)
        sums = np.empty((len(patterns), count))
        tally = Tally(np.zeros(len(patterns)))
        # The same groups in every call, so that a sum has the same bits.
        groups = sorted({window // self._group for window in asked}) if patterns else []
        if self._pipeline.width < 2:
            for group in groups:
                notify = self._on_evaluated if group == groups[-1] else None
                sums[:, self._windows(group)] = self._group_sums(patterns, group, tally, notify)
        else:
            self._in_pipeline(patterns, groups, sums, tally)
        costs = tally.spent / self._dense_work
        return Evaluation(
            sums[:, asked],
            self._material.predicted[asked],
            costs,
            Work(
                block_tokens=tally.block_rows * length,
                head_tokens=tally.head_rows * length,
                bytes_held=self._state_bytes * (self._units * tally.states + self._dense_states),
                executed=float(costs.sum()),
            ),
        )

    name = "PopulationEvaluator"

    @property
    def arithmetic(self) -> str:
        """What affects the last bits of a sum, besides model, pattern, window and batch."""
        return arithmetic_of(self._fitness, self._anatomy, self.tile, self._weights)

    @property
    def batches(self) -> tuple[int, ...] | None:
        """(windows,) size of the batch in which each window is computed; None if that varies."""
        return None if self._stacked else batches_of(self._material.count, self._group)

    @property
    def preparation_cost(self) -> float:
        """Dense-forward equivalents spent before the first pattern."""
        return 1.0 if isinstance(self._criterion, Divergence) else 0.0

    def __getstate__(self) -> NoReturn:
        raise not_pickled(self, "a model")

    def _windows(self, group: int) -> slice:
        first = group * self._group
        return slice(first, min(first + self._group, self._material.count))

    def _in_pipeline(
        self,
        patterns: Sequence[Pattern],
        groups: Sequence[int],
        sums: NDArray[np.float64],
        tally: Tally,
    ) -> None:
        """Fill the (patterns, windows) sums of groups, with one group on each device."""
        # Compensated steps are fitted before threads begin, because that runs blocks.
        _ = [self._steps[place] for one in patterns for place in self._steps.taken(one)]
        both = [(group, Tally(np.zeros(len(patterns)))) for group in groups]
        walked = self._pipeline.map(lambda one: self._group_sums(patterns, *one, None), both)
        for (group, own), found in zip(both, walked, strict=True):
            sums[:, self._windows(group)] = found
            tally.add(own)
        self.kept.sort_groups()
        tally.states = min(self._pipeline.width, len(groups)) * tally.walking + len(self.kept)
        if self._on_evaluated is not None:
            for _ in patterns:
                self._on_evaluated()

    @torch.inference_mode()
    def _group_sums(
        self,
        patterns: Sequence[Pattern],
        group: int,
        tally: Tally,
        notify: Callable[[], object] | None,
    ) -> NDArray[np.float64]:
        """(patterns, windows of the group) sums."""
        windows = self._windows(group)
        order: list[int] = []
        losses: list[torch.Tensor] = []  # for each pattern, on the device
        waiting: list[tuple[int, torch.Tensor]] = []

        def evaluate_waiting() -> None:
            rows = [row for row, _ in waiting]
            with self._pipeline.on(device_of(self._anatomy.head)):
                features = [self._exit.features(hidden) for _, hidden in waiting]
                losses.extend(self._criterion.losses(features, windows))
            order.extend(rows)
            runs = self._criterion.heads(len(rows))
            tally.heads(rows, self._anatomy.head_work, runs, self._material.head_rows(windows))
            waiting.clear()
            if notify is not None:
                for _ in rows:
                    notify()

        for row, hidden in self._walk(patterns, group, tally):
            waiting.append((row, hidden))
            if len(waiting) == self._criterion.at_once:
                evaluate_waiting()
        if waiting:
            evaluate_waiting()
        # One transfer per group, so that the CPU does not wait for the device before.
        found = self._criterion.sums(torch.stack(losses), windows)
        sums: NDArray[np.float64] = np.empty_like(found)
        sums[order] = found
        return sums

    def _walk(
        self, patterns: Sequence[Pattern], group: int, tally: Tally
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield each pattern's row and last hidden state."""
        entrance = self._enter(windows := self._windows(group))
        walk = Walk(
            steps=self._steps,
            routes=[self._steps.taken(pattern) for pattern in patterns],
            group=group,
            size=self._material.rows(windows),
            start=entrance.hidden,
            run=lambda step, hidden: self._pipeline.run(step, entrance.calls, hidden),
            kept=self.kept,
            tally=tally,
        )
        if not self._stacked:
            yield from walk.depth_first(range(len(patterns)))
            return
        # Neighbours in sorted order share the longest prefixes, so they are walked together.
        order = sorted(range(len(patterns)), key=lambda row: patterns[row], reverse=True)
        # In some models the arguments of a block depend on the window.
        run_all = StackedSteps(
            self._stack, lambda copies: self._enter(windows, copies).calls, self._pipeline
        )
        for first in range(0, len(order), self._together):
            yield from walk.breadth_first(order[first : first + self._together], run_all)

    def _enter(self, windows: slice, copies: int = 1) -> Entrance:
        """Run the model before its first block; no block may run meanwhile."""
        with self._pipeline.everywhere():
            return enter(self.model, self._anatomy, **self._material.inputs(windows, copies))

    def _criterion_of(self, fitness: str, tile: Tile) -> Criterion:
        material = self._material
        if isinstance(material, PackedQuestions):
            return Answers(material, self._exit, tile)
        if fitness == "ce":
            return CrossEntropy(material.tokens, self._exit, tile)
        with torch.inference_mode():
            groups = range(-(-material.count // self._group))
            dense = [self._dense_features(self._windows(group)) for group in groups]
            return Divergence(torch.cat(dense), self._exit, tile)

    def _dense_features(self, windows: slice) -> torch.Tensor:
        """(windows, length, width) input of the head in the dense model."""
        entrance = self._enter(windows)
        hidden = entrance.hidden
        for call, block in zip(entrance.calls, self._anatomy.blocks, strict=True):
            hidden = call(block, hidden)
        return self._exit.features(hidden)
