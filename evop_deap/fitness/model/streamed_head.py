"""The losses of many patterns from a head of which one tile after the other is in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evop_deap.fitness.model.blocked_divergence import DivergenceTotals
from evop_deap.fitness.model.blocked_loss import TargetLosses
from evop_deap.fitness.model.tiles import LogTotal, Tile, tile_of_logits
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


def streamed_log_totals(
    several: Sequence[torch.Tensor], leaving: Exit, tile: Tile, weights: StreamedWeights
) -> list[torch.Tensor]:
    """(tokens,) float32 log-sum-exp of the logits for each of several (tokens, width) inputs."""
    totals = [LogTotal(len(some), some.device) for some in several]
    room = several[0].new_empty(max(map(len, several)) * tile.words)
    for first, weight in weights.tiles(leaving.weight.detach(), tile.words):
        for some, total in zip(several, totals, strict=True):
            total.add(tile_of_logits(some, leaving, first, weight, room))
    return [total.value() for total in totals]


def streamed_divergences(
    several: Sequence[tuple[Sequence[torch.Tensor], torch.Tensor, torch.Tensor]],
    leaving: Exit,
    tile: Tile,
    weights: StreamedWeights,
) -> list[list[torch.Tensor]]:
    """Divergences from the dense model; every tile of the head is read once for all patterns.

    Args:
        several: for each group of windows, the (windows, length, width) input of the head for each
            pattern, that of the dense model, and the (windows, length - 1) log-sum-exp of the
            dense model's logits.
        leaving: the head and the transformation of its output.
        tile: size of a tile.
        weights: reads the head.

    Returns:
        For each of `several` and each pattern, (windows, length - 1) float32 nats; bit for bit
        those of `blocked_divergences`.
    """
    groups: list[list[tuple[torch.Tensor, Sequence[torch.Tensor], DivergenceTotals]]] = []
    for patterns, dense, totals in several:
        own, *others = (
            features[:, :-1].flatten(0, 1).split(tile.tokens) for features in (dense, *patterns)
        )
        each_part = zip(*others, strict=True)
        parts = zip(own, each_part, totals.flatten().split(tile.tokens), strict=True)
        groups.append(
            [(some, each, DivergenceTotals(total, len(each))) for some, each, total in parts]
        )
    most = max(len(some) for group in groups for some, _, _ in group)
    first_room, second_room = (several[0][1].new_empty(most * tile.words) for _ in range(2))
    for first, weight in weights.tiles(leaving.weight.detach(), tile.words):
        for group in groups:
            for some, each, found in group:
                dense_logits = tile_of_logits(some, leaving, first, weight, first_room)
                found.add(
                    dense_logits,
                    (tile_of_logits(one, leaving, first, weight, second_room) for one in each),
                )
    return [
        [torch.cat(parts).view(totals.shape) for parts in zip(*map(_values, group), strict=True)]
        for group, (_, _, totals) in zip(groups, several, strict=True)
    ]


def _values(
    part: tuple[torch.Tensor, Sequence[torch.Tensor], DivergenceTotals],
) -> list[torch.Tensor]:
    return part[2].values()
