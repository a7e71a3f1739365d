"""Logits in tiles of tokens and vocabulary, so that the whole logits never exist at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from evop_deap.models.anatomy.exit import Exit

_TOKENS, _WORDS = 512, 4096  # of a tile, for a CPU of unknown cache size
_CACHE_SHARE = 4  # a tile takes 1/4 of the last cache level, since its inputs need room, too
_MEMORY_SHARE = 32  # a tile takes 1/32 of an accelerator's memory


@dataclass(frozen=True)
class Tile:
    """Number of tokens and of vocabulary entries (words) computed at a time."""

    tokens: int
    words: int


def tile_for(device: torch.device) -> Tile:
    """Return a tile that fits a CPU's cache, or that keeps an accelerator busy."""
    if device.type == "cuda":
        # Not its free memory: all workers and all resumed runs must have the same tile.
        whole = torch.cuda.get_device_properties(device).total_memory
        return Tile(4096, _power_of_two(whole // _MEMORY_SHARE // (4 * 4096), 4096, 65536))
    if device.type != "cpu":
        return Tile(4096, 16384)
    cache = _cache_bytes()
    if cache is None:
        return Tile(_TOKENS, _WORDS)
    return Tile(_TOKENS, _power_of_two(cache // _CACHE_SHARE // (4 * _TOKENS), 1024, 8192))


def logit_tiles(
    predictors: torch.Tensor, leaving: Exit, words: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the float32 logits for `words` vocabulary entries at a time.

    Args:
        predictors: (tokens, width) input of the head.
        leaving: the head and the transformation of its output.
        words: number of vocabulary entries of a tile.

    Yields:
        The first entry's id and the (tokens, words) tile. The caller may overwrite the tile; it
        is valid until the next one.
    """
    count, vocabulary = len(predictors), len(leaving.weight)
    room = predictors.new_empty(count * min(words, vocabulary))
    for first in range(0, vocabulary, words):
        weight = leaving.weight[first : first + words]  # (words, width)
        yield first, tile_of_logits(predictors, leaving, first, weight, room)


def tile_of_logits(
    predictors: torch.Tensor, leaving: Exit, first: int, weight: torch.Tensor, room: torch.Tensor
) -> torch.Tensor:
    """Return the (tokens, words) float32 logits for some vocabulary entries.

    Args:
        predictors: (tokens, width) input of the head.
        leaving: the head and the transformation of its output.
        first: the first entry's id.
        weight: (words, width) of these entries in the head.
        room: memory for the product, at least of its size.
    """
    product = room[: len(predictors) * len(weight)].view(len(predictors), len(weight))
    torch.mm(predictors, weight.T, out=product)
    if leaving.bias is not None:
        product += leaving.bias[first : first + len(weight)]
    return leaving.transform(product.float())


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
        """Add a (tokens, words) tile, which is overwritten."""
        higher = torch.maximum(self._highest, logits.amax(dim=1))
        self._total *= (self._highest - higher).exp()
        self._total += exp_(logits.sub_(higher.unsqueeze(1))).sum(dim=1)
        self._highest = higher

    def value(self) -> torch.Tensor:
        """(tokens,) log-sum-exp of all logits added."""
        return self._highest + self._total.log()


def exp_(exponents: torch.Tensor) -> torch.Tensor:
    """Exponentials in place, for numbers that are at most about 0.

    Numbers below -87 are clamped: their exponentials would be subnormal in float32, which is many
    times slower on a CPU, and are negligible next to the largest term, exp(0).
    """
    return exponents.clamp_min_(-87.0).exp_()


def _cache_bytes() -> int | None:
    """Size of the CPU's last cache level in bytes; None if the system does not report it."""
    for name in ("SC_LEVEL3_CACHE_SIZE", "SC_LEVEL2_CACHE_SIZE"):
        if name in getattr(os, "sysconf_names", {}) and (size := os.sysconf(name)) > 0:
            return size
    return None


def _power_of_two(most: int, low: int, high: int) -> int:
    """The largest power of two that is at most `most`, between `low` and `high`."""
    return max(low, min(high, 1 << max(0, most.bit_length() - 1)))
