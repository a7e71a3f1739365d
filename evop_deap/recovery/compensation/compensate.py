"""Compensation: kept weights are solved anew, in closed form, for what a pattern drops.

One pass over the text takes the dense and the pruned model from cut to cut. At each cut, the last
writers before it are solved anew, so that the state behind the cut is nearest the dense model's.
The pruned model goes on with the new weights, so each cut takes account of those before it.
Nothing is trained, and the architecture stays the same.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.fitness.model.population import DEFAULT_MEMORY_BUDGET
from evop_deap.fitness.model.state_store import StateStore
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.loading.precision import computing_in_float32, computing_states
from evop_deap.models.streaming.streamed_weights import weights_of
from evop_deap.recovery.compensation.changed_weights import Changes, changed_copy, rounded, written
from evop_deap.recovery.compensation.cuts import Cut, cuts_of
from evop_deap.recovery.compensation.fit import Fitted
from evop_deap.recovery.compensation.form_names import AUTO, FORMS, SCALE
from evop_deap.recovery.compensation.records import CutRecord
from evop_deap.recovery.compensation.scale import scaled_behind
from evop_deap.recovery.compensation.side_by_side import Evidence, SideBySide

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

_NO_GAIN = "the loss on windows kept aside is no lower"


@dataclass(frozen=True, eq=False)
class Compensation:
    """The outcome of compensation.

    Attributes:
        changes: new values of the dense model's weights.
        cuts: what was done at each cut, in order.
        windows: number of windows of text.
        window: tokens in a window.
        left_out: windows with states that are not finite.
        before: loss of the pruned model on the windows kept aside, in nats a token.
        after: the same of the compensated model.
        work: multiply-adds spent.
        pass_work: multiply-adds per token of a pass of the pruned model, head included.
    """

    changes: Changes
    cuts: tuple[CutRecord, ...]
    windows: int
    window: int
    left_out: int
    before: float
    after: float
    work: float
    pass_work: int

    def model(
        self, model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]
    ) -> PreTrainedModel:
        """Return the compensated model, which shares all other tensors with the dense one."""
        return changed_copy(model, anatomy, dropped, self.changes)


def compensate(
    model: PreTrainedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    windows: NDArray[np.int64],
    *,
    form: str = AUTO,
    stored: torch.dtype | None = None,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
) -> Compensation:
    """Solve anew what is written before each cut.

    Args:
        model: the dense model, in evaluation mode; it is left as it is.
        anatomy: its anatomy, at the granularity of the units.
        dropped: positions of the dropped units.
        windows: (windows, length) token ids. An eighth of them, at most 2,048 tokens, is kept
            aside: it chooses ridges and forms, and a cut that does not gain on it is left alone.
        form: "full", "map" or "scale", or the next poorer one where the architecture or the text
            does not allow it; "auto" takes the one nearest the dense states that lowers the loss.
        stored: dtype of the checkpoint. If it is narrower than the model's, changed weights are
            rounded to it.
        memory_budget: where weights are streamed, the most bytes of hidden states and equations,
            half of it for each. States that do not fit are written to a temporary file, and a
            form whose equations do not fit is not tried.

    Example:
        >>> import numpy as np
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> from evop_deap.models.anatomy.find_anatomy import find_anatomy
        >>> model = LlamaForCausalLM(LlamaConfig(
        ...     vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=3,
        ...     num_attention_heads=2)).eval()
        >>> windows = np.arange(400).reshape(10, 40) % 50
        >>> made = compensate(model, find_anatomy(model), [1], windows)
        >>> made.after <= made.before
        True

    Raises:
        InputError: no such form, or fewer than two windows.
    """
    if form not in FORMS:
        raise InputError(f"`form` must be one of {', '.join(FORMS)}, but got '{form}'")
    if len(windows) < 2:
        raise InputError(
            f"`windows` must hold 2 or more, one of them to choose by, but has {len(windows)}: "
            "give more text to compensate on"
        )
    records: list[CutRecord] = []
    losses: list[float] = []
    room = sys.maxsize if weights_of(model) is None else memory_budget // 2
    tokens = torch.as_tensor(windows, device=device_of(model))
    # No inference mode: training may read the changed weights later.
    with torch.no_grad(), computing_states(model), StateStore(room) as store:
        sides = SideBySide(model, anatomy, dropped, tokens, store)
        cuts = cuts_of(sides.places)
        for cut in cuts:
            if records:
                sides.rerun(cuts[len(records) - 1])
            evidence = sides.advance(cut, form)
            losses = losses or [sides.loss(cut, {})]
            if evidence.fits:
                record = _solve(sides, cut, evidence, losses[-1], stored)
            else:
                record = _scale(model, anatomy, sides, cut, evidence, losses[-1], stored)
            records.append(record)
            losses.append(record.loss[1])
    return Compensation(
        changes=sides.changes,
        cuts=tuple(records),
        windows=windows.shape[0],
        window=windows.shape[1],
        left_out=sides.left_out,
        before=losses[0] if losses else float("nan"),
        after=losses[-1] if losses else float("nan"),
        work=sides.work,
        pass_work=sum(p.kept.work for p in sides.places if p.kept is not None) + anatomy.head_work,
    )


def _solve(
    sides: SideBySide, cut: Cut, evidence: Evidence, loss: float, stored: torch.dtype | None
) -> CutRecord:
    """Take the fit nearest the dense states if it lowers the loss, else the next nearest."""
    with written(sides.changes):  # an earlier scale has changed what a fit adds to
        solved = [(fit, found) for fit in evidence.fits if (found := fit.solved()) is not None]
    for fit, found in sorted(solved, key=lambda pair: pair[1].remaining):
        tried = sides.loss(cut, rounded(found.changes, stored))
        if tried < loss:
            with written(sides.changes):
                changes = rounded(fit.solved_with_all(found).changes, stored)
            sides.changes |= changes
            layers = tuple(one.name for one in fit.writers if one.weight in changes)
            return _record(sides, cut, evidence, (loss, tried), fit.name, layers, found)
    evidence.reason = "; ".join(filter(None, [evidence.reason, _NO_GAIN if solved else ""]))
    return _record(sides, cut, evidence, (loss, loss))


def _scale(
    model: PreTrainedModel,
    anatomy: Anatomy,
    sides: SideBySide,
    cut: Cut,
    evidence: Evidence,
    loss: float,
    stored: torch.dtype | None,
) -> CutRecord:
    """Scale what is written behind the cut if that lowers the loss."""
    behind = [place for place in sides.places[cut.last + 1 :] if place.kept is not None]
    why = _NO_GAIN
    sample = sides.sample
    try:
        if sample is None:
            raise UnsupportedModelError("no window has finite states")
        ratio = evidence.lengths.ratio
        # Whether a scale is exact shows in float32 only.
        with written(sides.changes), computing_in_float32(model):
            folded = scaled_behind(model, anatomy, behind, sample, 1 / ratio)
        changes = rounded(folded, stored)
        tried = sides.loss(cut, changes)
    except (UnsupportedModelError, ArithmeticError) as error:
        why = f"no scale either: {error}" if evidence.reason else str(error)
        tried = loss
    if tried < loss:
        sides.changes |= changes
        sides.unit *= ratio
        layers = dict.fromkeys(place.dense.block.name for place in behind)
        found = Fitted(folded, evidence.lengths.remaining, None)
        return _record(sides, cut, evidence, (loss, tried), SCALE, tuple(layers), found)
    evidence.reason = "; ".join(filter(None, [evidence.reason, why]))
    return _record(sides, cut, evidence, (loss, loss))


def _record(
    sides: SideBySide,
    cut: Cut,
    evidence: Evidence,
    loss: tuple[float, float],
    form: str | None = None,
    layers: tuple[str, ...] = (),
    found: Fitted | None = None,
) -> CutRecord:
    left = evidence.missing if found is None else found.remaining
    tokens = max(1, evidence.tokens)
    places = sides.places[cut.first : cut.last + 1]
    return CutRecord(
        dropped=tuple(name for place in places for name in place.dropped),
        form=form,
        layers=layers,
        reason=evidence.reason,
        ridge=None if found is None else found.ridge,
        distance=((evidence.missing / tokens) ** 0.5, (left / tokens) ** 0.5),
        loss=loss,
    )
