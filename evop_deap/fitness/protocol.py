"""The protocol of evaluators, and the results that they return."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from evop_deap.space import Pattern

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Work:
    """The work that was executed, in counts that are the same on every machine.

    Attributes:
        block_tokens: tokens processed by blocks, summed over all blocks run.
        head_tokens: tokens processed by the head.
        bytes_held: peak size of the hidden states held, including states kept for later calls.
    """

    block_tokens: int = 0
    head_tokens: int = 0
    bytes_held: int = 0

    def __add__(self, other: Work) -> Work:
        """The work of both, one after the other: counts are added, `bytes_held` is the maximum."""
        return Work(
            self.block_tokens + other.block_tokens,
            self.head_tokens + other.head_tokens,
            max(self.bytes_held, other.bytes_held),
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The losses of a population by window, and their cost.

    Attributes:
        sums: (patterns, windows) fitness summed over the predicted tokens of a window, in nats.
        tokens: (windows,) number of predicted tokens.
        costs: (patterns,) cost in dense-forward equivalents: 1 is one forward pass of the dense
            model over all windows, head included.
        hits: number of patterns that a cache answered completely.
        work: the executed work behind `costs`.
    """

    sums: NDArray[np.float64]
    tokens: NDArray[np.int64]
    costs: NDArray[np.float64]
    hits: int = 0
    work: Work = Work()

    @property
    def losses(self) -> NDArray[np.float64]:
        """(patterns,) mean nats per predicted token; infinity if that is not finite."""
        import numpy as np

        losses = self.sums.sum(axis=1) / self.tokens.sum()
        return np.where(np.isfinite(losses), losses, np.inf)

    @property
    def cost(self) -> float:
        """Dense-forward equivalents spent on the whole population."""
        return float(self.costs.sum())


class Evaluator(Protocol):
    """Patterns in, losses out, for a whole population at once.

    Any object with this method can be a search's fitness.
    """

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index.

        A sum depends only on its pattern and its window, not on the others in the call or on
        their order. `patterns` may be empty: the result then has the windows' tokens.
        """
        ...


class KeptNames(Protocol):
    """The names of the hidden states that an evaluator keeps; names can outlive the process."""

    @property
    def names(self) -> Sequence[tuple[int, Sequence[tuple[int, ...]]]]:
        """For each group of windows, the prefixes whose states are kept."""
        ...

    def restore(self, names: Iterable[tuple[int, Sequence[tuple[int, ...]]]]) -> None:
        """Restore these names; each state is recomputed when it is needed."""
        ...


class ModelEvaluator(Evaluator, Protocol):
    """An evaluator that runs a model, with the properties that a run needs."""

    @property
    def name(self) -> str:
        """The name of the evaluator in results."""
        ...

    @property
    def preparation_cost(self) -> float:
        """Dense-forward equivalents spent before the first pattern."""
        ...

    @property
    def batches(self) -> tuple[int, ...] | None:
        """(windows,) size of the batch in which each window is computed; None if that varies.

        If it does not vary, a sum has the same bits in every process, so it can be stored and
        shared.
        """
        ...

    @property
    def arithmetic(self) -> str:
        """What affects the last bits of a sum, besides model, pattern, window and batch."""
        ...

    @property
    def kept(self) -> KeptNames:
        """The hidden states kept for the next call, by name."""
        ...
