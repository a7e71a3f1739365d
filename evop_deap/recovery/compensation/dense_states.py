"""Hidden states of the dense model on some windows, at every place, computed in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from evop_deap.models.anatomy.entrance import BlockCall, enter
from evop_deap.models.anatomy.steps import steps_of
from evop_deap.models.loading.precision import computing_states

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

_ASIDE_SHARE = 8  # one window in so many is kept aside, to choose ridges by
_TOKENS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class StateBatch:
    """States of windows that are computed together.

    Attributes:
        tokens: (rows, length) token ids.
        calls: how the model calls its blocks on them.
        aside: whether they are kept aside.
        states: for each place, the (rows, length, width) state before it, and the last state;
            each is on the device of the block that made it.
    """

    tokens: torch.Tensor
    calls: Sequence[BlockCall]
    aside: bool
    states: tuple[torch.Tensor, ...]


def dense_states(
    model: PreTrainedModel, anatomy: Anatomy, windows: NDArray[np.int64]
) -> tuple[StateBatch, ...]:
    """Run the dense model once; windows on which a state is not finite are left out.

    Args:
        model: the dense model.
        anatomy: its anatomy, at the granularity of the units.
        windows: (windows, length) token ids; the last eighth is kept aside.
    """
    tokens = torch.as_tensor(windows, device=model.device)
    aside = max(1, len(tokens) // _ASIDE_SHARE)
    rows = max(1, _TOKENS_AT_ONCE // tokens.shape[1])
    with torch.no_grad(), computing_states(model):
        made = [
            _batch(model, anatomy, some, is_aside)
            for part, is_aside in ((tokens[:-aside], False), (tokens[-aside:], True))
            for some in part.split(rows)
        ]
    return tuple(batch for batch in made if len(batch.tokens))


def _batch(
    model: PreTrainedModel, anatomy: Anatomy, tokens: torch.Tensor, aside: bool
) -> StateBatch:
    entrance = enter(model, anatomy, tokens)
    states = [entrance.hidden]
    for turn in steps_of(anatomy).turns:
        states.append(turn.step(turn.end - 1).run(entrance.calls, states[-1]))
    finite = [state.isfinite().flatten(1).all(1).to(tokens.device) for state in states]
    usable = torch.stack(finite).all(0)
    if usable.all():
        return StateBatch(tokens, entrance.calls, aside, tuple(states))
    tokens = tokens[usable]
    calls = enter(model, anatomy, tokens).calls if len(tokens) else ()
    left = tuple(state[usable.to(state.device)] for state in states)
    return StateBatch(tokens, calls, aside, left)
