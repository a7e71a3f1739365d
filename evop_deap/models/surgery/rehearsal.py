"""Rehearsal of a removal on a few tokens before a search."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.probe import probe_tokens, run_forward
from evop_deap.models.anatomy.quantisation import rounds_to
from evop_deap.models.streaming.streamed_weights import stream_like
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.models.surgery.cached_decoding import cache_fault, cache_texts
from evop_deap.models.surgery.dropped_parts import drops_of
from evop_deap.models.surgery.logit_difference import logit_difference
from evop_deap.models.surgery.repacking import without_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TOKENS = 16


def check_removable(model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]) -> None:
    """Rehearse the removal of the `dropped` units.

    The first block is the hardest to drop: this renumbers all others, and some models read the
    state of their cache from it.

    Raises:
        UnsupportedModelError: the pruned model differs from the bypassed one, or its predictions
            differ with and without a cache; the message has the difference.
    """
    ids = probe_tokens(model, _TOKENS)
    pruned = without_blocks(model, anatomy, dropped)
    stream_like(model, pruned)
    with bypassed(anatomy, dropped):
        expected = run_forward(model, ids)
    rounded = rounds_to(model, expected.dtype)
    difference, allowed = logit_difference(expected, run_forward(pruned, ids), rounded)
    removed = ", ".join(drops_of(anatomy, dropped).names)
    if not difference <= allowed:
        raise UnsupportedModelError(
            f"{type(model).__name__} without blocks {removed} is not the model with these"
            f" bypassed: logits differ by {difference:.3g}, allowed is {allowed:.3g}"
        )
    fault = cache_fault(model, pruned, cache_texts(model, _TOKENS), at_once=True)
    if fault is not None:
        raise UnsupportedModelError(f"{type(model).__name__} without blocks {removed} {fault}")
