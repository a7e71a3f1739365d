"""Cross-entropy in tiles: logits of all tokens over the whole vocabulary never exist at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from evop_deap.models.staged import Exit


@dataclass(frozen=True)
class Tile:
    """How many tokens and how many words of the vocabulary are computed at a time."""

    tokens: int
    words: int


def tile_for(device: torch.device) -> Tile:
    """Tiles that stay in a processor's cache, or that keep an accelerator busy."""
    return Tile(512, 4096) if device.type == "cpu" else Tile(4096, 16384)


def blocked_window_sums(
    features: torch.Tensor, tokens: torch.Tensor, leaving: Exit, tile: Tile
) -> torch.Tensor:
    """Negative log-likelihood of each window's tokens after its first, summed, in nats.

    The same as `window_sums` of the model's logits, by an online log-sum-exp in float32.

    Args:
        features: (windows, length, width) input of the head.
        tokens: (windows, length) token ids.
        leaving: the head and what is done to its output.
        tile: how much is computed at a time.

    Returns:
        (windows,) float64 sums over `length - 1` predicted tokens.
    """
    windows, length = tokens.shape
    predictors = features[:, :-1].flatten(0, 1)  # (predictions, width)
    targets = tokens[:, 1:].flatten()  # (predictions,)
    losses = [
        _losses(some, wanted, leaving, tile.words)
        for some, wanted in zip(
            predictors.split(tile.tokens), targets.split(tile.tokens), strict=True
        )
    ]
    return torch.cat(losses).view(windows, length - 1).double().sum(dim=1)


def _losses(
    predictors: torch.Tensor, targets: torch.Tensor, leaving: Exit, words: int
) -> torch.Tensor:
    """(predictions,) nats of each target, the vocabulary taken `words` at a time."""
    count, vocabulary = len(predictors), len(leaving.weight)
    highest = predictors.new_full((count,), -torch.inf, dtype=torch.float32)
    total = torch.zeros_like(highest)  # of exp(logit - highest) over the words so far
    target_logits = torch.zeros_like(highest)
    room = predictors.new_empty(count * min(words, vocabulary))
    for first in range(0, vocabulary, words):
        weight = leaving.weight[first : first + words]  # (words, width)
        product = room[: count * len(weight)].view(count, len(weight))
        torch.mm(predictors, weight.T, out=product)
        if leaving.bias is not None:
            product += leaving.bias[first : first + words]
        logits = leaving.transform(product.float())
        place = targets - first
        inside = (place >= 0) & (place < len(weight))
        found = logits.gather(1, place.clamp(0, len(weight) - 1).unsqueeze(1)).squeeze(1)
        target_logits = torch.where(inside, found, target_logits)
        higher = torch.maximum(highest, logits.amax(dim=1))
        total *= (highest - higher).exp()
        total += logits.sub_(higher.unsqueeze(1)).exp_().sum(dim=1)
        highest = higher
    return highest + total.log() - target_logits
