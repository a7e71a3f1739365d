"""Logits in tiles: those of all tokens over the whole vocabulary never exist at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from evop_deap.models.anatomy.exit import Exit

_TOKENS, _WORDS = 512, 4096  # of a tile on a processor whose cache is not known
_CACHE_SHARE = 4  # a tile of logits fills this part of the last cache level, beside its inputs
_MEMORY_SHARE = 32  # and this part of what an accelerator has left


@dataclass(frozen=True)
class Tile:
    """How many tokens and how many words of the vocabulary are computed at a time."""

    tokens: int
    words: int


def tile_for(device: torch.device) -> Tile:
    """Tiles that stay in a processor's cache, or that keep an accelerator busy."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return Tile(4096, _power_of_two(free // _MEMORY_SHARE // (4 * 4096), 4096, 65536))
    if device.type != "cpu":
        return Tile(4096, 16384)
    cache = _cache_bytes()
    if cache is None:
        return Tile(_TOKENS, _WORDS)
    return Tile(_TOKENS, _power_of_two(cache // _CACHE_SHARE // (4 * _TOKENS), 1024, 8192))


def logit_tiles(
    predictors: torch.Tensor, leaving: Exit, words: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """The vocabulary a few words at a time: position of the first, and float32 logits.

    Args:
        predictors: (tokens, width) input of the head.
        leaving: the head and what is done to its output.
        words: of a tile.

    Yields:
        The first word's id and its tile (tokens, words), free to be overwritten until the next.
    """
    count, vocabulary = len(predictors), len(leaving.weight)
    room = predictors.new_empty(count * min(words, vocabulary))
    for first in range(0, vocabulary, words):
        weight = leaving.weight[first : first + words]  # (words, width)
        product = room[: count * len(weight)].view(count, len(weight))
        torch.mm(predictors, weight.T, out=product)
        if leaving.bias is not None:
            product += leaving.bias[first : first + words]
        yield first, leaving.transform(product.float())


class LogTotal:
    """An online log-sum-exp over tiles of words, in float32.

    Example:
        >>> total = LogTotal(1, torch.device("cpu"))
        >>> for tile in (torch.zeros(1, 3), torch.zeros(1, 5)):
        ...     total.add(tile)
        >>> float(total.value()[0].exp().round())
        8.0
    """

    def __init__(self, tokens: int, device: torch.device) -> None:
        self._highest = torch.full((tokens,), -torch.inf, device=device)
        self._total = torch.zeros_like(self._highest)  # of exp(logit - highest) so far

    def add(self, logits: torch.Tensor) -> None:
        """Take in a tile (tokens, words); it is overwritten."""
        higher = torch.maximum(self._highest, logits.amax(dim=1))
        self._total *= (self._highest - higher).exp()
        self._total += exp_(logits.sub_(higher.unsqueeze(1))).sum(dim=1)
        self._highest = higher

    def value(self) -> torch.Tensor:
        """(tokens,) the logarithm of the sum of the exponentials of all logits."""
        return self._highest + self._total.log()


def exp_(exponents: torch.Tensor) -> torch.Tensor:
    """The exponentials in place, of numbers that are at most about 0.

    With less than -87 they are below the normal float32 numbers, with which a processor works
    many times slower; beside the largest term, exp(0), they are nothing.
    """
    return exponents.clamp_min_(-87.0).exp_()


def _cache_bytes() -> int | None:
    """Size of the processor's last cache level; None where the system does not tell."""
    for name in ("SC_LEVEL3_CACHE_SIZE", "SC_LEVEL2_CACHE_SIZE"):
        if name in getattr(os, "sysconf_names", {}) and (size := os.sysconf(name)) > 0:
            return size
    return None


def _power_of_two(most: int, low: int, high: int) -> int:
    """The largest power of two that is at most `most`, between `low` and `high`."""
    return max(low, min(high, 1 << max(0, most.bit_length() - 1)))
