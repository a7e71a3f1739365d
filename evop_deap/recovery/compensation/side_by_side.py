"""The dense and the pruned model side by side, taken from cut to cut over all windows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from evop_deap.fitness.model.logit_losses import window_sums
from evop_deap.models.anatomy.entrance import BlockCall, enter
from evop_deap.models.loading.precision import computing_in_float32, widened
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.recovery.compensation.changed_weights import Changes, written
from evop_deap.recovery.compensation.cuts import Cut, places_of
from evop_deap.recovery.compensation.fit import Fit, Missing
from evop_deap.recovery.compensation.forms import fits_for
from evop_deap.recovery.compensation.hearing import Heard, hearing
from evop_deap.recovery.compensation.normal_equations import exact
from evop_deap.recovery.compensation.resuming import Sample, logits_behind
from evop_deap.recovery.compensation.scale import Lengths
from evop_deap.recovery.compensation.writer import Writer
from evop_deap.recovery.compensation.writers import find_writers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.anatomy.steps import Step

_ASIDE_SHARE = 8  # one window in so many is kept aside,
_ASIDE_TOKENS = 2048  # up to so many tokens: they choose one number, the ridge
_TOKENS_AT_ONCE = 2048  # enough for matrix products at full speed


@dataclass(eq=False)
class _Batch:
    """Windows that are computed together.

    Attributes:
        tokens: (rows, length) token ids.
        aside: whether they are kept aside.
        usable: (rows,) whether all states of a window are finite so far.
        calls: how the model calls its blocks on them.
        dense: (rows, length, width) state of the dense model.
        pruned: state of the pruned model, with the changes so far.
        before: state of the pruned model before the writer of the latest cut.
    """

    tokens: torch.Tensor
    aside: bool
    usable: torch.Tensor
    calls: Sequence[BlockCall]
    dense: torch.Tensor
    pruned: torch.Tensor
    before: torch.Tensor


@dataclass(eq=False)
class Evidence:
    """What the windows say about a cut.

    Attributes:
        writers: layers that write last before it.
        fits: forms to try, with all windows taken in.
        reason: why a richer form, or any, is not among them; "" if it is.
        lengths: lengths of the dense and the pruned states.
        missing: squared relative distance to the dense states, summed over tokens kept aside.
        tokens: number of these tokens.
    """

    writers: tuple[Writer, ...] = ()
    fits: Sequence[Fit] = ()
    reason: str = ""
    lengths: Lengths = field(default_factory=Lengths)
    missing: float = 0.0
    tokens: int = 0


class SideBySide:
    """Both models at one depth, over all windows.

    Args:
        model: the dense model.
        anatomy: its anatomy, at the granularity of the units.
        dropped: positions of the dropped units.
        windows: (windows, length) token ids.

    Attributes:
        places: the places of the model.
        changes: changes of the weights so far.
        work: multiply-adds spent.
        unit: length of a dense state divided by that of a pruned one: the product of the scales
            of earlier cuts.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        dropped: Collection[int],
        windows: torch.Tensor,
    ) -> None:
        self._model, self._anatomy, self._dropped = model, anatomy, dropped
        self.places = places_of(anatomy, dropped)
        self.changes: dict[nn.Parameter, torch.Tensor] = {}
        self.work = 0.0
        self.unit = 1.0
        self._batches = [self._entered(*part) for part in _batches(windows)]
        self._counted: torch.Tensor | None = None

    @property
    def left_out(self) -> int:
        """Number of windows with states that are not finite."""
        return sum(int((~batch.usable).sum()) for batch in self._batches)

    @property
    def sample(self) -> Sample | None:
        """A window whose states are finite; None without any."""
        for batch in self._batches:
            finite = batch.pruned.isfinite().flatten(1).all(1).nonzero()
            if len(finite):
                row = slice(int(finite[0]), int(finite[0]) + 1)
                tokens = batch.tokens[row]
                calls = enter(self._model, self._anatomy, tokens).calls
                return Sample(tokens, calls, widened(batch.pruned[row]))
        return None

    def advance(self, cut: Cut, form: str) -> Evidence:
        """Take both models from behind the previous cut to behind this one.

        Args:
            cut: the next cut.
            form: the form of compensation asked for.
        """
        end = cut.last + 1
        writer = end if cut.writer is None else cut.writer
        with written(self.changes):
            for batch in self._batches:
                self._walk(batch, cut.first, writer)
            with computing_in_float32(self._model):  # what writes last shows in it only
                evidence = self._look(cut, form)
            modules = {one.module for fit in evidence.fits for one in fit.writers}
            for batch in self._batches:
                batch.before = batch.pruned
                with hearing(modules) as heard:
                    self._walk(batch, writer, min(writer + 1, end))
                self._walk(batch, writer + 1, end)
                self._take_in(batch, evidence, heard)
        self.work += sum(fit.work for fit in evidence.fits)
        return evidence

    def rerun(self, cut: Cut) -> None:
        """Bring the pruned states behind a cut up to date with the changes made there."""
        if cut.writer is None:
            return
        step = self.places[cut.writer].kept
        assert step is not None
        with written(self.changes):
            for batch in self._batches:
                batch.pruned = self._run(step, batch, batch.before)

    def loss(self, cut: Cut, changes: Changes) -> float:
        """Return the pruned model's loss on the windows kept aside, in nats a token.

        Args:
            cut: the latest cut.
            changes: of weights at its writer or behind it, besides those so far.
        """
        sums = []
        with written({**self.changes, **changes}):
            for batch in self._batches:
                if batch.aside:
                    sums.append(window_sums(self._logits(cut, batch), batch.tokens))
        return self._mean(torch.cat(sums))

    def _logits(self, cut: Cut, batch: _Batch) -> torch.Tensor:
        """(rows, length, vocabulary) logits of the pruned model."""
        hidden = batch.pruned if cut.writer is None else batch.before
        behind = self.places[cut.last + 1 if cut.writer is None else cut.writer :]
        block = behind[0].dense.block
        for place in behind:
            if place.kept is not None and place.dense.block is block:
                hidden = self._run(place.kept, batch, hidden)
            elif place.kept is not None:
                self.work += place.kept.work * batch.tokens.numel()
        self.work += self._anatomy.head_work * batch.tokens.numel()
        with bypassed(self._anatomy, self._dropped):
            return logits_behind(self._model, self._anatomy, block, hidden, batch.tokens)

    def _mean(self, sums: torch.Tensor) -> float:
        """Nats a token over the windows on which the pruned model itself has a finite loss."""
        if self._counted is None:
            self._counted = sums.isfinite()
        counted = sums[self._counted]
        length = self._batches[0].tokens.shape[1]
        loss = float(counted.mean()) / (length - 1) if len(counted) else float("inf")
        return loss if loss == loss else float("inf")

    def _entered(self, tokens: torch.Tensor, aside: bool) -> _Batch:
        entrance = enter(self._model, self._anatomy, tokens)
        usable = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
        hidden = entrance.hidden
        return _Batch(tokens, aside, usable, entrance.calls, hidden, hidden, hidden)

    def _look(self, cut: Cut, form: str) -> Evidence:
        """Find the writers before a cut and the forms that they allow."""
        if cut.writer is None:
            return Evidence(reason="nothing is written before it")
        place, sample = self.places[cut.writer], self.sample
        if sample is None:
            return Evidence(reason="no window has finite states")
        step = place.kept
        assert step is not None
        writers = find_writers(self._model, step, sample.calls, sample.hidden)
        if not writers:
            return Evidence(reason=f"no layer of {step.block.name} that can be changed writes last")
        fitted = [batch for batch in self._batches if not batch.aside]
        tokens = sum(int(batch.usable.sum()) * batch.tokens.shape[1] for batch in fitted)
        fits, reason = fits_for(form, writers, tokens)
        return Evidence(writers, fits, reason)

    def _walk(self, batch: _Batch, first: int, end: int) -> None:
        """Take a batch through some places, the pruned model last, so that it is heard."""
        for place in self.places[first:end]:
            together = batch.pruned is batch.dense and not place.dropped
            if not together:
                batch.dense = self._run(place.dense, batch, batch.dense)
            if place.kept is not None:
                batch.pruned = self._run(place.kept, batch, batch.pruned)
            if together:
                batch.dense = batch.pruned

    def _run(self, step: Step, batch: _Batch, hidden: torch.Tensor) -> torch.Tensor:
        self.work += step.work * batch.tokens.numel()
        return step.run(batch.calls, hidden)

    def _take_in(self, batch: _Batch, evidence: Evidence, heard: dict[nn.Module, Heard]) -> None:
        """Add the states of a batch behind a cut to the evidence."""
        pruned = widened(batch.pruned)
        # The dense state may come from a later device than the last block that is kept.
        target = widened(batch.dense).to(pruned.device) / self.unit
        errors = target - pruned
        finite = (errors.isfinite() & pruned.isfinite()).flatten(1).all(1)
        batch.usable = batch.usable & finite.to(batch.usable.device)
        rows = batch.usable.to(pruned.device).repeat_interleave(errors.shape[1])
        wanted = target.flatten(0, 1)[rows]
        missing = Missing(errors.flatten(0, 1)[rows], 1 / wanted.norm(dim=1).clamp_min(1e-30))
        if batch.aside:
            relative = exact(missing.weights)[:, None] * exact(missing.errors)
            evidence.missing += float(relative.square().sum())
            evidence.tokens += len(wanted)
        if not evidence.fits:
            evidence.lengths.add(wanted, pruned.flatten(0, 1)[rows], aside=batch.aside)
        elif len(wanted):
            for fit in evidence.fits:
                own = [heard[writer.module].of(rows) for writer in fit.writers]
                fit.add(own, missing, aside=batch.aside)


def _batches(windows: torch.Tensor) -> list[tuple[torch.Tensor, bool]]:
    """Split windows into batches, and say of each whether it is kept aside."""
    count, length = windows.shape
    most = max(1, min(count // _ASIDE_SHARE, _ASIDE_TOKENS // length))
    aside = torch.zeros(count, dtype=torch.bool, device=windows.device)
    aside[torch.arange(1, most + 1) * count // most - 1] = True
    at_once = max(1, _TOKENS_AT_ONCE // length)
    return [
        (part, is_aside)
        for is_aside in (False, True)
        for part in windows[aside == is_aside].split(at_once)
    ]
