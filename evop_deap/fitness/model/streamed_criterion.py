"""The fitness criteria where one tile of the head after the other is in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from evop_deap.fitness.model.criterion import HeadRuns
from evop_deap.fitness.model.memory_plan import EVALUATED_TOGETHER
from evop_deap.fitness.model.state_store import State
from evop_deap.fitness.model.streamed_head import (
    streamed_divergences,
    streamed_log_totals,
    streamed_losses,
)
from evop_deap.fitness.model.tiles import Tile
from evop_deap.models.anatomy.exit import Exit
from evop_deap.models.streaming.streamed_weights import StreamedWeights


@dataclass(frozen=True, eq=False)
class Waiting:
    """Patterns with a common state, which wait for the head.

    Attributes:
        rows: the patterns.
        group: number of the group of windows.
        windows: position of these windows in the calibration set.
        features: (windows, length, width) input of the head.
    """

    rows: tuple[int, ...]
    group: int
    windows: slice
    features: torch.Tensor


class StreamedCriterion(HeadRuns, Protocol):
    """Computes losses from the head's inputs, and reads the head once in a call."""

    def size(self, group: int) -> int:
        """Return the bytes that a call needs for a group, beside those of its patterns."""
        ...

    def losses(self, waiting: Sequence[Waiting]) -> list[torch.Tensor]:
        """Return (windows, length - 1) float32 nats for each; those of a group are in a row."""
        ...


class StreamedCrossEntropy:
    """Negative log-likelihood of the next tokens.

    Args:
        tokens: (windows, length) token ids.
        leaving: the head and the transformation of its output.
        tile: size of a tile.
        weights: reads the head.
    """

    at_once = 1

    def __init__(
        self, tokens: torch.Tensor, leaving: Exit, tile: Tile, weights: StreamedWeights
    ) -> None:
        self._tokens, self._head = tokens, (leaving, tile, weights)

    def size(self, group: int) -> int:
        """See `StreamedCriterion.size`."""
        return 0

    def losses(self, waiting: Sequence[Waiting]) -> list[torch.Tensor]:
        """See `StreamedCriterion.losses`."""
        several = [(one.features, self._tokens[one.windows]) for one in waiting]
        return streamed_losses(several, *self._head)

    def heads(self, patterns: int) -> int:
        """Once for each pattern."""
        return patterns


class StreamedDivergence:
    """Kullback-Leibler divergence from the dense model's predictions.

    Args:
        dense: by group, the dense model's (windows, length, width) input of the head.
        leaving: the head and the transformation of its output.
        tile: size of a tile.
        weights: reads the head.
        room: most bytes of inputs of the head in memory.
    """

    at_once = EVALUATED_TOGETHER

    def __init__(
        self,
        dense: Mapping[int, State],
        leaving: Exit,
        tile: Tile,
        weights: StreamedWeights,
        room: int,
    ) -> None:
        self._dense, self._head = dense, (leaving, tile, weights)
        found: list[torch.Tensor] = []
        for parts in _batched(_parts(dense.values(), tile.tokens), room):
            found += streamed_log_totals(parts, *self._head)
        shapes = [(state.shape[0], state.shape[1] - 1) for state in dense.values()]
        each = torch.cat(found).split([windows * length for windows, length in shapes])
        self._totals = {
            group: total.view(shape)
            for group, total, shape in zip(dense, each, shapes, strict=True)
        }

    def size(self, group: int) -> int:
        """See `StreamedCriterion.size`."""
        return self._dense[group].size

    def losses(self, waiting: Sequence[Waiting]) -> list[torch.Tensor]:
        """See `StreamedCriterion.losses`."""
        several = []
        for group, some in itertools.groupby(waiting, key=lambda one: one.group):
            features = [one.features for one in some]
            several.append((features, self._dense[group].tensor(), self._totals[group]))
        found = streamed_divergences(several, *self._head)
        return [losses for group in found for losses in group]

    def heads(self, patterns: int) -> int:
        """Once for each pattern, and once for the dense model."""
        return patterns + 1


def _parts(states: Iterable[State], tokens: int) -> Iterator[torch.Tensor]:
    """Yield the predicting tokens of all windows in tiles, as if they were one tensor."""
    rest: list[torch.Tensor] = []
    for state in states:
        rest.append(state.tensor()[:, :-1].flatten(0, 1))
        *whole, last = torch.cat(rest).split(tokens)
        yield from whole
        rest = [last]
    yield from rest


def _batched(parts: Iterable[torch.Tensor], room: int) -> Iterator[list[torch.Tensor]]:
    """Yield as many parts at a time as fit in `room` bytes, one at the least."""
    some: list[torch.Tensor] = []
    for part in parts:
        if some and sum(one.nbytes for one in some) + part.nbytes > room:
            yield some
            some = []
        some.append(part)
    yield some
