"""The dense and the pruned model side by side, taken from cut to cut over all windows.

At each place, its block is read once for all batches of windows.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from evop_deap.models.anatomy.entrance import enter
from evop_deap.models.loading.precision import computing_in_float32, widened
from evop_deap.models.streaming.streamed_weights import passing, weights_of
from evop_deap.recovery.compensation.changed_weights import Changes, written
from evop_deap.recovery.compensation.cuts import Cut, Place, places_of
from evop_deap.recovery.compensation.fit import Fit, Missing
from evop_deap.recovery.compensation.forms import fits_for
from evop_deap.recovery.compensation.hearing import Heard, hearing
from evop_deap.recovery.compensation.losses_behind import losses_behind
from evop_deap.recovery.compensation.normal_equations import exact
from evop_deap.recovery.compensation.resuming import Sample
from evop_deap.recovery.compensation.scale import Lengths
from evop_deap.recovery.compensation.text_batches import TextBatch, entered_batches
from evop_deap.recovery.compensation.writer import Writer
from evop_deap.recovery.compensation.writers import find_writers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.fitness.model.state_store import State, StateStore
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.anatomy.steps import Step


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
        store: keeps hidden states, and its budget is the most bytes for the equations of a form.

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
        store: StateStore,
    ) -> None:
        self._model, self._anatomy, self._store = model, anatomy, store
        self.places = places_of(anatomy, dropped)
        self.changes: dict[nn.Parameter, torch.Tensor] = {}
        self.work = 0.0
        self.unit = 1.0
        self._losses = losses_behind(model, anatomy)
        self._streams = weights_of(model) is not None
        self._batches = entered_batches(model, anatomy, windows, store)
        self._counted: torch.Tensor | None = None

    @property
    def left_out(self) -> int:
        """Number of windows with states that are not finite."""
        return sum(int((~batch.usable).sum()) for batch in self._batches)

    @property
    def sample(self) -> Sample | None:
        """A window whose states are finite; None without any."""
        for batch in self._batches:
            pruned = batch.pruned.tensor()
            finite = pruned.isfinite().flatten(1).all(1).nonzero()
            if len(finite):
                row = slice(int(finite[0]), int(finite[0]) + 1)
                tokens = batch.tokens[row]
                calls = enter(self._model, self._anatomy, tokens).calls
                return Sample(tokens, calls, widened(pruned[row]))
        return None

    def advance(self, cut: Cut, form: str) -> Evidence:
        """Take both models from behind the previous cut to behind this one.

        Args:
            cut: the next cut.
            form: the form of compensation asked for.
        """
        end = cut.last + 1
        writer = end if cut.writer is None else cut.writer
        for place, batch in self._walk(self.places[cut.first : writer]):
            self._step(place, batch)
        for batch in self._batches:
            batch.before = batch.pruned
        if cut.writer is None:
            evidence = Evidence(reason="nothing is written before it")
            for batch in self._batches:
                self._take_in(batch, evidence, {})
        else:
            evidence = self._hear(self.places[writer:end], form)
        self.work += sum(fit.work for fit in evidence.fits)
        return evidence

    def rerun(self, cut: Cut) -> None:
        """Bring the pruned states behind a cut up to date with the changes made there."""
        if cut.writer is None:
            return
        for place, batch in self._walk([self.places[cut.writer]]):
            assert place.kept is not None
            batch.pruned = self._run(place.kept, batch, batch.before, self.changes)

    def loss(self, cut: Cut, changes: Changes) -> float:
        """Return the pruned model's loss on the windows kept aside, in nats a token.

        Args:
            cut: the latest cut.
            changes: of weights at its writer or behind it, besides those so far.
        """
        aside = [batch for batch in self._batches if batch.aside]
        states = [batch.pruned if cut.writer is None else batch.before for batch in aside]
        behind = self.places[cut.last + 1 if cut.writer is None else cut.writer :]
        every = {**self.changes, **changes}
        for places in self._held([place for place in behind if place.kept is not None]):
            for step in (place.kept for place in places if place.kept is not None):
                both = zip(aside, states, strict=True)
                states = [self._run(step, batch, state, every) for batch, state in both]
        sums = []
        for batch, state in zip(aside, states, strict=True):
            sums.append(self._losses(state.tensor(), batch.tokens))
            self.work += self._anatomy.head_work * batch.tokens.numel()
        return self._mean(torch.cat(sums))

    def _mean(self, sums: torch.Tensor) -> float:
        """Nats a token over the windows on which the pruned model itself has a finite loss."""
        if self._counted is None:
            self._counted = sums.isfinite()
        counted = sums[self._counted]
        length = self._batches[0].tokens.shape[1]
        loss = float(counted.mean()) / (length - 1) if len(counted) else float("inf")
        return loss if loss == loss else float("inf")

    def _held(self, places: Sequence[Place]) -> Iterator[Sequence[Place]]:
        """Yield the places of each block while its weights are in memory."""
        by_block = itertools.groupby(places, key=lambda place: place.dense.block)
        runs = [(block, list(own)) for block, own in by_block]
        blocks = passing(self._model, [block for block, _ in runs])
        for _, (_, own) in zip(blocks, runs, strict=True):
            yield own

    def _walk(self, places: Sequence[Place]) -> Iterator[tuple[Place, TextBatch]]:
        """Yield each place with each batch while the weights of its block are in memory."""
        for held in self._held(places):
            yield from itertools.product(held, self._batches)

    def _step(self, place: Place, batch: TextBatch) -> None:
        """Take a batch through a place, the pruned model last, so that it is heard."""
        together = batch.pruned is batch.dense and not place.dropped
        if not together:
            batch.dense = self._run(place.dense, batch, batch.dense)
        if place.kept is not None:
            batch.pruned = self._run(place.kept, batch, batch.pruned, self.changes)
        if together:
            batch.dense = batch.pruned

    def _run(
        self, step: Step, batch: TextBatch, before: State, changes: Changes | None = None
    ) -> State:
        """Return the state behind a step, whose block is in memory."""
        self.work += step.work * batch.tokens.numel()
        # Only those of this block: others may be read from their files meanwhile.
        with written(_inside(step, changes or {})):
            return self._store.put(step.run(batch.calls, before.tensor()))

    def _hear(self, places: Sequence[Place], form: str) -> Evidence:
        """Take both models from the last place where anything is kept to behind the cut.

        What the writers read is held for one batch. In memory, each batch goes on to the cut at
        once. Where a block is read for all batches, the dense model goes there first, and the
        pruned one takes its last step alone.
        """
        (place, *rest), evidence = places, Evidence()
        step = place.kept
        assert step is not None
        if self._streams:
            for one, batch in self._walk(places):
                batch.dense = self._run(one.dense, batch, batch.dense)
        for _ in self._held([place]):
            with written(_inside(step, self.changes)), computing_in_float32(self._model):
                evidence = self._look(step, form)  # what writes last shows in float32 only
            modules = {one.module for fit in evidence.fits for one in fit.writers}
            for batch in self._batches:
                with hearing(modules) as heard:
                    if self._streams:
                        batch.pruned = self._run(step, batch, batch.before, self.changes)
                    else:
                        self._step(place, batch)
                for one in () if self._streams else rest:
                    self._step(one, batch)
                self._take_in(batch, evidence, heard)
        return evidence

    def _look(self, step: Step, form: str) -> Evidence:
        """Find the writers of the last step before a cut and the forms that they allow."""
        sample = self.sample
        if sample is None:
            return Evidence(reason="no window has finite states")
        writers = find_writers(self._model, step, sample.calls, sample.hidden)
        if not writers:
            return Evidence(reason=f"no layer of {step.block.name} that can be changed writes last")
        fitted = [batch for batch in self._batches if not batch.aside]
        tokens = sum(int(batch.usable.sum()) * batch.tokens.shape[1] for batch in fitted)
        fits, reason = fits_for(form, writers, tokens, room=self._store.budget)
        return Evidence(writers, fits, reason)

    def _take_in(self, batch: TextBatch, evidence: Evidence, heard: dict[nn.Module, Heard]) -> None:
        """Add the states of a batch behind a cut to the evidence."""
        pruned = widened(batch.pruned.tensor())
        # The dense state may come from a later device than the last block that is kept.
        target = widened(batch.dense.tensor()).to(pruned.device) / self.unit
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


def _inside(step: Step, changes: Changes) -> dict[nn.Parameter, torch.Tensor]:
    """Return the changes of a step's block."""
    return {p: changes[p] for p in step.block.module.parameters() if p in changes}
