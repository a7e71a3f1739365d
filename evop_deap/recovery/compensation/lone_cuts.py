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
from torch import nn

from evop_deap.models.anatomy.entrance import enter
from evop_deap.models.anatomy.steps import steps_of
from evop_deap.models.loading.precision import computing_in_float32
from evop_deap.recovery.compensation.changed_weights import rounded
from evop_deap.recovery.compensation.dense_states import StateBatch, dense_states
from evop_deap.recovery.compensation.fit import Fit, Missing
from evop_deap.recovery.compensation.forms import fits_for
from evop_deap.recovery.compensation.hearing import hearing
from evop_deap.recovery.compensation.writer import Writer
from evop_deap.recovery.compensation.writers import find_writers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy


class LoneCuts:
    """New weights for any single cut, fitted when they are first asked for.

    Args:
        model: the dense model; it is left as it is.
        anatomy: its anatomy, at the granularity of the units.
        windows: (windows, length) token ids to fit on.
        form: form to fit, or the next poorer one that the architecture or the text allows.
        stored: dtype of the checkpoint; weights are rounded to it if it is narrower.

    Attributes:
        work: multiply-adds of the dense pass.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        windows: NDArray[np.int64],
        form: str,
        stored: torch.dtype | None,
    ) -> None:
        self._model, self._anatomy, self._windows = model, anatomy, windows
        self._form, self._stored = form, stored
        self._steps = steps_of(anatomy)
        self._writers: dict[int, tuple[Writer, ...]] = {}
        self.work = sum(block.work for block in anatomy.blocks) * windows.size

    def work_of(self, writing: int) -> int:
        """Return the multiply-adds of the fit of a cut; 0 where no form can be fitted.

        Args:
            writing: index of the last step before the cut.
        """
        fit = self._fit(writing)
        if fit is None:
            return 0
        width = fit.writers[0].outputs
        return self._windows.size * (self._steps[writing].work + fit.needs * (fit.needs + width))

    def changes(self, writing: int, last: int) -> dict[nn.Parameter, torch.Tensor]:
        """Return new weights of the writers at a cut; {} where no form can be fitted.

        Args:
            writing: index of the last step before the cut.
            last: place after which the state is compared with the dense model's.
        """
        fit = self._fit(writing)
        if fit is None:
            return {}
        step, place = self._steps[writing], self._steps.place(writing)
        modules = {one.module for one in fit.writers}
        with torch.no_grad(), computing_in_float32(self._model):
            for batch in self._batches:
                with hearing(modules) as heard:
                    # A copy, because a block may work in place.
                    pruned = step.run(batch.calls, batch.states[place].clone()).flatten(0, 1)
                target = batch.states[last + 1].flatten(0, 1)
                missing = Missing(target - pruned, 1 / target.norm(dim=1).clamp_min(1e-30))
                fit.add([heard[one.module] for one in fit.writers], missing, aside=batch.aside)
        found = fit.solved()
        return {} if found is None else rounded(fit.solved_with_all(found).changes, self._stored)

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
        return fits[0] if fits else None

    def _writers_of(self, writing: int) -> tuple[Writer, ...]:
        if writing not in self._writers:
            first, place = self._batches[0], self._steps.place(writing)
            with torch.no_grad(), computing_in_float32(self._model):
                calls = enter(self._model, self._anatomy, first.tokens[:1]).calls
                state = first.states[place][:1].clone()
                self._writers[writing] = find_writers(
                    self._model, self._steps[writing], calls, state
                )
        return self._writers[writing]
