"""Taking blocks out of a model: for the length of a `with`, or for good in a second model."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.base.formatting import plural
from evop_deap.models.anatomy.find_anatomy import Anatomy
from evop_deap.models.anatomy.halves import silenced
from evop_deap.models.anatomy.probe import probe_tokens, run_forward
from evop_deap.models.anatomy.replaced_forward import pass_through, replaced_forward
from evop_deap.models.surgery.cached_decoding import cache_fault
from evop_deap.models.surgery.repacking import drops_of, repacked

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_REHEARSAL_TOKENS = 16


@contextmanager
def bypassed(anatomy: Anatomy, dropped: Collection[int]) -> Iterator[None]:
    """Let the hidden state pass the `dropped` units unchanged, everything else in its place.

    Positions, masks, layer types and cache slots of the other blocks stay what they are in
    the dense model, so this is the reference of what dropping means. May be nested.

    Args:
        anatomy: of the model, at the granularity of the units.
        dropped: positions of units: of block i, or 2i for its attention and 2i + 1 for its MLP.
    """
    gone = _checked(anatomy, dropped)
    whole, halves = gone, []
    if anatomy.halves:
        pairs = [(h.attention, h.mlp) for h in anatomy.halves]
        whole = frozenset(i for i in range(len(pairs)) if {2 * i, 2 * i + 1} <= gone)
        halves = [pairs[unit // 2][unit % 2] for unit in sorted(gone) if unit // 2 not in whole]
    blocks = [anatomy.blocks[index].module for index in sorted(whole)]
    with replaced_forward(blocks, pass_through(anatomy.output_items)), silenced(halves):
        yield


def without_blocks(
    model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]
) -> PreTrainedModel:
    """A second model that lacks the `dropped` units and shares its tensors with `model`.

    Raises:
        UnsupportedModelError: something in the model depends on its number of layers in a way
            that cannot be rewritten; the message names it.
    """
    return repacked(model, anatomy, _checked(anatomy, dropped)).model


def check_removable(model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]) -> None:
    """Rehearse the removal of `dropped` on a few tokens, before a search is paid for.

    Dropping the first block is the hardest rehearsal: it renumbers all the others, and some
    models read the state of their cache from it.

    Raises:
        UnsupportedModelError: the removed model is not the bypassed one, or does not predict
            the same with a cache as without; the message has the number.
    """
    ids = probe_tokens(model, _REHEARSAL_TOKENS)
    pruned = without_blocks(model, anatomy, dropped)
    with bypassed(anatomy, dropped):
        expected = run_forward(model, ids)
    difference, allowed = logit_difference(expected, run_forward(pruned, ids))
    removed = ", ".join(drops_of(anatomy, dropped).names)
    if not difference <= allowed:
        raise UnsupportedModelError(
            f"{type(model).__name__} without blocks {removed} is not the model with these"
            f" bypassed: logits differ by {difference:.3g}, allowed is {allowed:.3g}"
        )
    fault = cache_fault(model, pruned, ids)
    if fault is not None:
        raise UnsupportedModelError(f"{type(model).__name__} without blocks {removed} {fault}")


def logit_difference(expected: torch.Tensor, got: torch.Tensor) -> tuple[float, float]:
    """Largest absolute difference between logits, and the largest that rounding explains.

    Rounding explains 1e-5 of the largest logit in float32 and a few units in the last place
    of it in lower precision.
    """
    if expected.shape != got.shape:
        return float("inf"), 0.0
    scale = float(expected.float().abs().max())
    difference = float((expected.float() - got.float()).abs().max())
    relative = max(1e-5, 4 * torch.finfo(expected.dtype).eps)
    return difference, relative * scale


def _checked(anatomy: Anatomy, dropped: Collection[int]) -> frozenset[int]:
    n_units = 2 * len(anatomy.halves) or len(anatomy.blocks)
    gone = frozenset(dropped)
    strange = sorted(index for index in gone if not 0 <= index < n_units)
    if strange:
        raise InputError(
            f"`dropped` must hold {anatomy.granularity} indices from 0 to {n_units - 1}, "
            f"but got {strange}"
        )
    if len(gone) == n_units:
        raise InputError(
            f"`dropped` must leave at least one of the {n_units} {plural(anatomy.granularity)}"
        )
    return gone
