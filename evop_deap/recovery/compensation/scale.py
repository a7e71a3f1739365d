"""The scale form: one factor restores the length of the states behind a cut.

Prune&Comp (arXiv 2507.18212) multiplies the embeddings and all outputs before a cut by s. The
layers behind the cut norm what they read, so dividing all outputs behind the cut by s is the same
function. It leaves the embeddings alone, which may be tied to the head, and it works for a cut at
the very beginning. The model is run to find out whether it allows this.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.halves import find_halves
from evop_deap.models.anatomy.probe import nearly_equal
from evop_deap.models.anatomy.steps import steps_of
from evop_deap.models.streaming.streamed_weights import passing
from evop_deap.recovery.compensation.changed_weights import in_float32, written
from evop_deap.recovery.compensation.folding import Folded, with_gains
from evop_deap.recovery.compensation.normal_equations import exact
from evop_deap.recovery.compensation.resuming import logits_behind
from evop_deap.recovery.compensation.writers import find_writers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy, Block
    from evop_deap.models.anatomy.steps import Step
    from evop_deap.recovery.compensation.cuts import Place
    from evop_deap.recovery.compensation.resuming import Sample


class Lengths:
    """Length of dense states by that of pruned ones: mean over channels of E|dense| / E|pruned|."""

    def __init__(self) -> None:
        self._sums: list[torch.Tensor] = []
        self._aside: list[tuple[torch.Tensor, torch.Tensor]] = []

    def add(self, dense: torch.Tensor, pruned: torch.Tensor, *, aside: bool) -> None:
        """Add (tokens, width) states."""
        if aside:
            self._aside.append((dense, pruned))
        else:
            self._sums.append(torch.stack([exact(dense).abs().sum(0), exact(pruned).abs().sum(0)]))

    @property
    def ratio(self) -> float:
        """The scale."""
        dense, pruned = torch.stack(self._sums).sum(0)
        return float((dense / pruned.clamp_min(1e-30)).mean())

    @property
    def remaining(self) -> float:
        """Squared relative distance of scaled to dense states on the tokens kept aside."""
        left = 0.0
        for dense, pruned in self._aside:
            away = (exact(dense) - self.ratio * exact(pruned)).square().sum(1)
            left += float((away / exact(dense).square().sum(1).clamp_min(1e-30)).sum())
        return left


def scaled_behind(
    model: PreTrainedModel,
    anatomy: Anatomy,
    places: Sequence[Place],
    sample: Sample,
    factor: float,
) -> Folded:
    """Multiply all that is written behind a cut by a factor.

    Args:
        model: the dense model, with the changes so far.
        anatomy: its anatomy.
        places: all places behind the cut where something is kept.
        sample: a window of text at the cut, to test the result on.
        factor: the factor.

    Raises:
        UnsupportedModelError: what is written there cannot be scaled; the message has the reason.
    """
    if not places:
        raise UnsupportedModelError("nothing is written behind the cut, and norms undo a scale")
    calls, hidden = sample.calls, sample.hidden
    plain, scaled = (
        logits_behind(model, anatomy, anatomy.blocks[-1], state, sample.tokens)
        for state in (hidden / factor, hidden)
    )
    if not nearly_equal(plain, scaled):
        raise UnsupportedModelError("the head does not read its states through a norm")
    inside = _by_halves(model, anatomy) if anatomy.granularity == "block" else {}
    changes: Folded = {}
    steps = [place.kept for place in places if place.kept is not None]
    by_block = itertools.groupby(steps, key=lambda step: step.block)
    runs = {block: list(own) for block, own in by_block}
    with closing(passing(model, runs)) as blocks:
        for block in blocks:
            for kept in runs[block]:
                own: Folded = {}
                for step in inside.get(block, [kept]):
                    for writer in find_writers(model, step, calls, hidden):
                        own |= with_gains(writer, torch.tensor(factor, dtype=torch.float64))
                before = kept.run(calls, hidden / factor)
                with written(in_float32(own)):
                    after = kept.run(calls, hidden)
                if not nearly_equal(factor * before, after):
                    raise UnsupportedModelError(f"{block.name} does not norm what it reads")
                changes |= own
    return changes


def _by_halves(model: PreTrainedModel, anatomy: Anatomy) -> dict[Block, list[Step]]:
    """Return the steps of each block by its halves, every one of which writes."""
    halved = replace(anatomy, parts=find_halves(model, anatomy))
    steps: dict[Block, list[Step]] = {}
    for turn in steps_of(halved).turns:
        step = turn.step(turn.end - 1)
        steps.setdefault(step.block, []).append(step)
    return steps
