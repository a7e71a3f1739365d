"""KL divergence from the dense model's predictions, in tiles of tokens and vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from evop_deap.fitness.model.tiles import LogTotal, Tile, exp_, logit_tiles
from evop_deap.models.anatomy.exit import Exit


def blocked_log_totals(features: torch.Tensor, leaving: Exit, tile: Tile) -> torch.Tensor:
    """(windows, length - 1) float32 log-sum-exp of the logits at each predicting token.

    Args:
        features: (windows, length, width) input of the head.
        leaving: the head and the transformation of its output.
        tile: size of a tile.
    """
    totals = []
    for some in features[:, :-1].flatten(0, 1).split(tile.tokens):
        total = LogTotal(len(some), some.device)
        for _, logits in logit_tiles(some, leaving, tile.words):
            total.add(logits)
        totals.append(total.value())
    return torch.cat(totals).view(features.shape[0], -1)


def blocked_divergences(
    several: Sequence[torch.Tensor],
    dense: torch.Tensor,
    dense_totals: torch.Tensor,
    leaving: Exit,
    tile: Tile,
) -> list[torch.Tensor]:
    """KL divergence of several next-token distributions q from the dense model's p.

    KL(p‖q) = Σ p (l_p - l_q) - Z_p + Z_q with logits l and their log-sum-exp Z. The dense logits
    are recomputed, once for all of `several`, because those of a whole calibration set would not
    fit in memory.

    Args:
        several: for each pruned model, the (windows, length, width) input of the head.
        dense: the same of the dense model.
        dense_totals: (windows, length - 1), `blocked_log_totals` of `dense`.
        leaving: the head and the transformation of its output.
        tile: size of a tile.

    Returns:
        For each of `several`, (windows, length - 1) float32 nats.
    """
    parts: list[list[torch.Tensor]] = [[] for _ in several]
    flat = [features[:, :-1].flatten(0, 1).split(tile.tokens) for features in several]
    reference = dense[:, :-1].flatten(0, 1).split(tile.tokens)
    for at, (own, total) in enumerate(
        zip(reference, dense_totals.flatten().split(tile.tokens), strict=True)
    ):
        found = _divergences([tiles[at] for tiles in flat], own, total, leaving, tile.words)
        for part, divergence in zip(parts, found, strict=True):
            part.append(divergence)
    return [torch.cat(part).view(dense_totals.shape) for part in parts]


class DivergenceTotals:
    """The divergences of several models at some tokens, from one tile of words after the other.

    Args:
        dense_total: (predictions,) log-sum-exp of the dense model's logits.
        several: number of models.
    """

    def __init__(self, dense_total: torch.Tensor, several: int) -> None:
        self._dense_total = dense_total
        self._totals = [LogTotal(len(dense_total), dense_total.device) for _ in range(several)]
        self._expected = [torch.zeros_like(dense_total) for _ in range(several)]  # Σ p (l_p - l_q)

    def add(self, dense_logits: torch.Tensor, each: Iterable[torch.Tensor]) -> None:
        """Add a (predictions, words) tile of the dense model, and of each, which is overwritten."""
        share = exp_(dense_logits - self._dense_total.unsqueeze(1))  # p
        for total, sum_, logits in zip(self._totals, self._expected, each, strict=True):
            sum_ += torch.sub(dense_logits, logits).mul_(share).sum(dim=1)
            total.add(logits)

    def values(self) -> list[torch.Tensor]:
        """For each model, (predictions,) nats."""
        both = zip(self._expected, self._totals, strict=True)
        return [sum_ - self._dense_total + total.value() for sum_, total in both]


def _divergences(
    several: Sequence[torch.Tensor],
    dense: torch.Tensor,
    dense_total: torch.Tensor,
    leaving: Exit,
    words: int,
) -> list[torch.Tensor]:
    """(predictions,) nats for each of `several`, with inputs of shape (predictions, width)."""
    found = DivergenceTotals(dense_total, len(several))
    walks = [logit_tiles(predictors, leaving, words) for predictors in several]
    for _, dense_logits in logit_tiles(dense, leaving, words):
        found.add(dense_logits, (next(walk)[1] for walk in walks))
    return found.values()
