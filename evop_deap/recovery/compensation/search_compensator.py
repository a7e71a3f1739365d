"""Compensation of every pattern of a search, for hardly more than the search costs without it."""

from __future__ import annotations

import hashlib
from collections.abc import Set
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import torch

from evop_deap.models.anatomy.steps import steps_of
from evop_deap.recovery.compensation.changed_weights import written
from evop_deap.recovery.compensation.compensated_steps import CompensatedSteps
from evop_deap.recovery.compensation.form_names import AUTO
from evop_deap.recovery.compensation.kept_changes import Kept, restored
from evop_deap.recovery.compensation.lone_cuts import LoneCuts
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

_VERSION = 3  # to be increased with any change that may alter a bit of a weight


class SearchCompensator:
    """Compensates patterns by the fits of their single cuts, which they share.

    A pattern evaluated with it has about the loss that `compensate` leaves it with on as much
    text. The dense model runs once over the text, and each distinct cut is fitted once. Changes
    are kept in no more memory than the model takes.

    Args:
        model: the dense model, in evaluation mode; it is left as it is.
        anatomy: its anatomy, at the granularity of the units.
        windows: (windows, length) token ids to fit on, 2 or more.
        most: number of units that a pattern drops at the most; by default all but one.
        form: "auto", "full" or "map".

    Attributes:
        windows, most: as given.
        steps: the steps that compensated patterns take.
        work: multiply-adds of the dense pass, which the first fit begins with.

    Example:
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> from evop_deap.fitness.model.population import PopulationEvaluator
        >>> from evop_deap.models.anatomy.find_anatomy import find_anatomy
        >>> model = LlamaForCausalLM(LlamaConfig(
        ...     vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=3,
        ...     num_attention_heads=2)).eval()
        >>> anatomy, windows = find_anatomy(model), np.arange(400).reshape(10, 40) % 50
        >>> light = SearchCompensator(model, anatomy, windows[2:])
        >>> evaluator = PopulationEvaluator(model, anatomy, windows[:2], compensator=light)
        >>> evaluator.evaluate([(1, 0, 1)]).sums.shape
        (1, 2)
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        windows: NDArray[np.int64],
        *,
        most: int | None = None,
        form: str = AUTO,
    ) -> None:
        most = len(anatomy.parts) - 1 if most is None else most
        self.windows, self.most = windows, most
        self._cuts = LoneCuts(model, anatomy, windows, most, form)
        self._changes: dict[int, dict[int, Kept]] = {}
        self.steps = CompensatedSteps(steps_of(anatomy).turns, anatomy, self._changed)
        self.work = self._cuts.work
        text = hashlib.sha256(np.ascontiguousarray(windows, "<i8").tobytes()).hexdigest()
        self.name = f"compensated {_VERSION}, {form} to {most}, fitted on {text}"

    @property
    def fitted(self) -> Set[int]:
        """The steps behind which all cuts are fitted so far, by index."""
        return self._changes.keys()

    def written(self, pattern: Pattern) -> AbstractContextManager[None]:
        """Return a context in which the model has the weights of the compensated pattern."""
        changes: dict[torch.nn.Parameter, torch.Tensor] = {}
        for index in self.steps.taken(pattern):
            writing, last = self.steps.cut(index)
            if last is not None:
                changes |= restored(self._changed(writing, last))
        return written(changes)

    def needed(self, pattern: Pattern) -> Set[int]:
        """Return the steps behind which cuts of a pattern are fitted, by index."""
        both = map(self.steps.cut, self.steps.taken(pattern))
        return {writing for writing, last in both if last is not None}

    def work_of(self, writing: int) -> int:
        """Return the multiply-adds of the fits behind a step."""
        return self._cuts.work_of(writing)

    def _changed(self, writing: int, last: int) -> Kept:
        if writing not in self._changes:
            self._changes[writing] = self._cuts.changes(writing)
        return self._changes[writing].get(last, {})
