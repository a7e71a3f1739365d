"""The losses of many patterns from a head of which one tile after the other is in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evop_deap.fitness.model.blocked_loss import TargetLosses
from evop_deap.fitness.model.tiles import Tile, tile_of_logits
from evop_deap.models.anatomy.exit import Exit
from evop_deap.models.streaming.streamed_weights import StreamedWeights


def streamed_losses(
    several: Sequence[tuple[torch.Tensor, torch.Tensor]],
    leaving: Exit,
    tile: Tile,
    weights: StreamedWeights,
) -> list[torch.Tensor]:
    """Cross-entropy of the next tokens; every tile of the head is read once for all patterns.

    Args:
        several: for each pattern and group of windows, the (windows, length, width) input of the
            head and the (windows, length) token ids.
        leaving: the head and the transformation of its output.
        tile: size of a tile.
        weights: reads the head.

    Returns:
        For each of `several`, (windows, length - 1) float32 nats; bit for bit those of
        `blocked_losses`.
    """
    parts: list[list[tuple[torch.Tensor, TargetLosses]]] = []
    for features, tokens in several:
        predictors = features[:, :-1].flatten(0, 1).split(tile.tokens)
        targets = tokens[:, 1:].flatten().split(tile.tokens)
        pairs = zip(predictors, targets, strict=True)
        parts.append([(some, TargetLosses(wanted)) for some, wanted in pairs])
    most = max(len(predictors) for some in parts for predictors, _ in some)
    room = several[0][0].new_empty(most * tile.words)
    for first, weight in weights.tiles(leaving.weight.detach(), tile.words):
        for some in parts:
            for predictors, losses in some:
                losses.add(first, tile_of_logits(predictors, leaving, first, weight, room))
    return [
        torch.cat([losses.value() for _, losses in some]).view(len(tokens), -1)
        for some, (_, tokens) in zip(parts, several, strict=True)
    ]
