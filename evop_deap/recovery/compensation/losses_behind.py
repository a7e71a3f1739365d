"""The losses of windows from the hidden state behind the last block."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.fitness.model.logit_losses import window_sums
from evop_deap.fitness.model.streamed_head import streamed_losses
from evop_deap.fitness.model.tiles import tile_for
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.exit import find_exit
from evop_deap.models.streaming.streamed_weights import weights_of
from evop_deap.recovery.compensation.resuming import logits_behind

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Given the (rows, length, width) state behind the last block and the (rows, length) token ids,
returns the (rows,) float64 sums of the windows' losses in nats."""


def losses_behind(model: PreTrainedModel, anatomy: Anatomy) -> Losses:
    """Return what computes losses; where weights are streamed, in tiles of the head."""

    def from_logits(hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        logits = logits_behind(model, anatomy, anatomy.blocks[-1], hidden, tokens)
        return window_sums(logits, tokens)

    weights = weights_of(model)
    if weights is None:
        return from_logits
    try:
        leaving = find_exit(model, anatomy)
    except UnsupportedModelError:
        return from_logits
    weights.let_go(anatomy.head)
    tile = tile_for(device_of(model))

    def in_tiles(hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        several = [(leaving.features(hidden), tokens)]
        (losses,) = streamed_losses(several, leaving, tile, weights)
        return losses.cpu().double().sum(dim=1)

    return in_tiles
