"""Cross-entropy of the next token, in tiles of tokens and vocabulary."""

from __future__ import annotations

import torch

from evop_deap.fitness.model.tiles import LogTotal, Tile, logit_tiles
from evop_deap.models.anatomy.exit import Exit


def blocked_losses(
    features: torch.Tensor, tokens: torch.Tensor, leaving: Exit, tile: Tile
) -> torch.Tensor:
    """Negative log-likelihood of each token of a window after the first, in nats.

    The sums over a window equal `window_sums` of the model's logits.

    Args:
        features: (windows, length, width) input of the head.
        tokens: (windows, length) token ids.
        leaving: the head and the transformation of its output.
        tile: size of a tile.

    Returns:
        (windows, length - 1) float32 losses.
    """
    windows, length = tokens.shape
    predictors = features[:, :-1].flatten(0, 1)  # (predictions, width)
    targets = tokens[:, 1:].flatten()  # (predictions,)
    return target_losses(predictors, targets, leaving, tile).view(windows, length - 1)


def target_losses(
    predictors: torch.Tensor, targets: torch.Tensor, leaving: Exit, tile: Tile
) -> torch.Tensor:
    """Return the (predictions,) float32 negative log-likelihoods of tokens, in nats.

    Args:
        predictors: (predictions, width) input of the head.
        targets: (predictions,) ids of the tokens.
        leaving: the head and the transformation of its output.
        tile: size of a tile.
    """
    losses = [
        _losses(some, wanted, leaving, tile.words)
        for some, wanted in zip(
            predictors.split(tile.tokens), targets.split(tile.tokens), strict=True
        )
    ]
    return torch.cat(losses)


class TargetLosses:
    """The losses of some predictions, from one tile of words after the other.

    Args:
        targets: (predictions,) ids of the predicted tokens.
    """

    def __init__(self, targets: torch.Tensor) -> None:
        self._targets = targets
        self._total = LogTotal(len(targets), targets.device)
        self._found = torch.zeros(len(targets), device=targets.device)  # logits of the targets

    def add(self, first: int, logits: torch.Tensor) -> None:
        """Add a (predictions, words) tile, which is overwritten; `first` is its first word."""
        place = self._targets - first
        inside = (place >= 0) & (place < logits.shape[1])
        found = logits.gather(1, place.clamp(0, logits.shape[1] - 1).unsqueeze(1)).squeeze(1)
        self._found = torch.where(inside, found, self._found)
        self._total.add(logits)

    def value(self) -> torch.Tensor:
        """(predictions,) nats of each target."""
        return self._total.value() - self._found


def _losses(
    predictors: torch.Tensor, targets: torch.Tensor, leaving: Exit, words: int
) -> torch.Tensor:
    """(predictions,) nats of each target, computed for `words` vocabulary entries at a time."""
    losses = TargetLosses(targets)
    for first, logits in logit_tiles(predictors, leaving, words):
        losses.add(first, logits)
    return losses.value()
