"""The text that a compensation is fitted on, in batches, with both models' states at one depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from evop_deap.models.anatomy.entrance import enter

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.fitness.model.state_store import State, StateStore
    from evop_deap.models.anatomy.entrance import BlockCall
    from evop_deap.models.anatomy.parts import Anatomy

_ASIDE_SHARE = 8  # one window in so many is kept aside,
_ASIDE_TOKENS = 2048  # up to so many tokens: they choose one number, the ridge
_TOKENS_AT_ONCE = 2048  # enough for matrix products at full speed


@dataclass(eq=False)
class TextBatch:
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
    dense: State
    pruned: State
    before: State


def entered_batches(
    model: PreTrainedModel, anatomy: Anatomy, windows: torch.Tensor, store: StateStore
) -> list[TextBatch]:
    """Return all windows before the first block; those kept aside come last.

    Args:
        model: the model.
        anatomy: its blocks.
        windows: (windows, length) token ids.
        store: keeps the states.
    """

    def entered(tokens: torch.Tensor, aside: bool) -> TextBatch:
        entrance = enter(model, anatomy, tokens)
        usable = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
        state = store.put(entrance.hidden)
        return TextBatch(tokens, aside, usable, entrance.calls, state, state, state)

    return [entered(*part) for part in _parts(windows)]


def _parts(windows: torch.Tensor) -> list[tuple[torch.Tensor, bool]]:
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
