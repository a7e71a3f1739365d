"""What an evaluator gives back, and the face that every evaluator has."""

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
    """What was really executed, in counts that are the same on every machine.

    Attributes:
        block_tokens: tokens that went through a block, over all blocks run.
        head_tokens: tokens that went through the head.
        bytes_held: the most that hidden states took up, those kept for later included.
    """

    block_tokens: int = 0
    head_tokens: int = 0
    bytes_held: int = 0

    def __add__(self, other: Work) -> Work:
        """One after the other: counts add up, of the bytes the most counts."""
        return Work(
            self.block_tokens + other.block_tokens,
            self.head_tokens + other.head_tokens,
            max(self.bytes_held, other.bytes_held),
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The losses of a population, window by window, and what they cost.

    Attributes:
        sums: (patterns, windows) fitness summed over the predicted tokens of a window, in nats.
        tokens: (windows,) predicted tokens of a window.
        costs: (patterns,) work spent on each, in dense-forward equivalents: 1 is one forward
            pass of the unpruned model over all windows, head included.
        hits: patterns that a cache answered whole.
        work: the same work as `costs`, by what it was.
    """

    sums: NDArray[np.float64]
    tokens: NDArray[np.int64]
    costs: NDArray[np.float64]
    hits: int = 0
    work: Work = Work()

    @property
    def losses(self) -> NDArray[np.float64]:
        """(patterns,) mean nats per predicted token; infinite where that is not a number."""
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
        """Judge each pattern on all windows, or on some by index.

        A window's sum depends on the pattern and the window alone, never on the order or the
        company of either. `patterns` may be empty: the answer tells the windows' tokens.
        """
        ...


class KeptNames(Protocol):
    """Intermediate results that an evaluator keeps, as names that outlive the process."""

    @property
    def names(self) -> Sequence[tuple[int, Sequence[tuple[int, ...]]]]:
        """What is kept, by group of windows."""
        ...

    def restore(self, names: Iterable[tuple[int, Sequence[tuple[int, ...]]]]) -> None:
        """Be as an evaluator that keeps these, each to be computed anew when it is needed."""
        ...


class ModelEvaluator(Evaluator, Protocol):
    """An evaluator that runs a model, and what a run needs to know of it."""

    @property
    def name(self) -> str:
        """What it is called in results."""
        ...

    @property
    def preparation_cost(self) -> float:
        """Dense-forward equivalents spent before the first pattern."""
        ...

    @property
    def batches(self) -> tuple[int, ...] | None:
        """(windows,) how many windows each is computed with; None where that varies.

        Where it does not vary, the same window of the same pattern has the same bits in every
        process, so that its sum may be stored and shared.
        """
        ...

    @property
    def arithmetic(self) -> str:
        """What decides the last bits of a sum, beside model, pattern, window and batch."""
        ...

    @property
    def kept(self) -> KeptNames:
        """The hidden states that wait for the next call, by name."""
        ...
