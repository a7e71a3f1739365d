"""Fits of single cuts, each as if it were the only one of its pattern.

A cut that nothing was dropped before sees the dense model's own states. So its fit depends on the
cut alone, and all patterns that have the cut share it. What an earlier cut leaves uncompensated is
not taken into account.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from evop_deap.models.anatomy.entrance import enter
from evop_deap.models.anatomy.steps import steps_of
from evop_deap.models.loading.precision import computing_in_float32, computing_states, widened
from evop_deap.recovery.compensation.dense_states import StateBatch, dense_states
from evop_deap.recovery.compensation.fit import Fit, Missing
from evop_deap.recovery.compensation.forms import fits_for
from evop_deap.recovery.compensation.hearing import hearing
from evop_deap.recovery.compensation.kept_changes import BYTES, Kept, kept
from evop_deap.recovery.compensation.matrices import MatrixFit
from evop_deap.recovery.compensation.writer import Writer
from evop_deap.recovery.compensation.writers import find_writers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

_ROOM = 2**30  # bytes of changes that any machine has


class LoneCuts:
    """New weights for any single cut; all cuts behind a step are fitted when the first is needed.

    Args:
        model: the dense model; it is left as it is.
        anatomy: its anatomy, at the granularity of the units.
        windows: (windows, length) token ids to fit on.
        most: number of places that a cut drops at the most.
        form: form to fit, or the next poorer one that the architecture or the text allows. "auto"
            fits maps where more would need more memory than the model.

    Attributes:
        work: multiply-adds of the dense pass.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        windows: NDArray[np.int64],
        most: int,
        form: str,
    ) -> None:
        self._model, self._anatomy, self._windows = model, anatomy, windows
        self._most, self._form = most, form
        self._steps = steps_of(anatomy)
        self._writers: dict[int, tuple[Writer, ...]] = {}
        size = max(_ROOM, sum(p.numel() * p.itemsize for p in model.parameters()))
        self._room = size / (BYTES * most * len(self._steps.turns))  # of a change, in weights
        self.work = (anatomy.dense_work - anatomy.head_work) * windows.size

    def work_of(self, writing: int) -> int:
        """Return the multiply-adds of the fits behind a step; 0 where no form can be fitted."""
        fit = self._fit(writing)
        if fit is None:
            return 0
        outputs = fit.writers[0].outputs * len(self._ends(writing))
        return self._windows.size * (self._steps[writing].work + fit.needs * (fit.needs + outputs))

    def changes(self, writing: int) -> dict[int, Kept]:
        """Return new weights for each cut behind a step, by the last place of the cut.

        They are {} where no form can be fitted.

        Args:
            writing: index of the last step before the cuts.
        """
        ends = self._ends(writing)
        first = self._fit(writing)
        if first is None:
            return {last: {} for last in ends}
        if isinstance(first, MatrixFit):
            self._listen(writing, [(first, ends)])
            each = first.solved_each()
            return {last: kept(made) for last, made in zip(ends, each, strict=False)}
        fits = [(fit, [last]) for last in ends if (fit := self._fit(writing)) is not None]
        self._listen(writing, fits)
        solved = {last: fit.solved() for fit, (last,) in fits}
        return {last: kept(made.changes if made else {}) for last, made in solved.items()}

    def _listen(self, writing: int, fits: Sequence[tuple[Fit, Sequence[int]]]) -> None:
        """Give each fit all tokens, with the errors behind its cuts side by side.

        A token counts by one over the length of its dense state behind the step, which is about
        that behind each cut.
        """
        step, place = self._steps[writing], self._steps.place(writing)
        modules = {writer.module for fit, _ in fits for writer in fit.writers}
        with torch.no_grad(), computing_states(self._model):
            for batch in self._batches:
                with hearing(modules) as heard:
                    # A copy, because a block may work in place.
                    pruned = widened(step.run(batch.calls, batch.states[place].clone()))
                lengths = widened(batch.states[place + 1]).flatten(0, 1).norm(dim=1)
                for fit, ends in fits:
                    behind = (batch.states[last + 1].to(pruned.device) for last in ends)
                    errors = [state - pruned for state in behind]
                    missing = Missing(
                        torch.cat(errors, dim=2).flatten(0, 1), 1 / lengths.clamp_min(1e-30)
                    )
                    own = [heard[writer.module] for writer in fit.writers]
                    fit.add(own, missing, aside=batch.aside)

    def _ends(self, writing: int) -> range:
        """Return the last places of the cuts behind a step."""
        place = self._steps.place(writing)
        # A step without some parts of its turn is followed by a cut that ends with the turn.
        partial = writing != self._steps.turns[place].end - 1
        last = min(place + self._most, len(self._steps.turns) - 1)
        return range(place + 1 - partial, last + 1)

    @cached_property
    def _batches(self) -> Sequence[StateBatch]:
        return dense_states(self._model, self._anatomy, self._windows)

    def _fit(self, writing: int) -> Fit | None:
        """Return the fit to make behind a step, without any tokens yet; None if there is none."""
        fitted = [batch for batch in self._batches if not batch.aside]
        if not fitted or len(fitted) == len(self._batches):
            return None  # no window to fit on, or none to choose by, has finite states
        tokens = sum(batch.tokens.numel() for batch in fitted)
        fits, _ = fits_for(self._form, self._writers_of(writing), tokens, quick=True)
        if len(fits) > 1 and fits[0].needs * fits[0].writers[0].outputs > self._room:
            del fits[0]
        return fits[0] if fits else None

    def _writers_of(self, writing: int) -> tuple[Writer, ...]:
        if writing not in self._writers:
            first, place = self._batches[0], self._steps.place(writing)
            with torch.no_grad(), computing_in_float32(self._model):
                calls = enter(self._model, self._anatomy, first.tokens[:1]).calls
                state = widened(first.states[place][:1].clone())
                self._writers[writing] = find_writers(
                    self._model, self._steps[writing], calls, state
                )
        return self._writers[writing]
