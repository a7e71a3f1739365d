"""The protocol of evaluators, and the results that they return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

from evop_deap.space import Pattern

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Work:
    """The work that was executed, in counts that are the same on every machine.

    Attributes:
        block_tokens: tokens processed by blocks, or by halves, summed over all of them run.
        head_tokens: tokens processed by the head.
        bytes_held: peak size of the hidden states held, including states kept for later calls.
        executed: dense-forward equivalents of the blocks and heads run.
    """

    block_tokens: int = 0
    head_tokens: int = 0
    bytes_held: int = 0
    executed: float = 0.0

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Work:
        """The work in a row of a logbook, which has a column for each attribute."""
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    def __add__(self, other: Work) -> Work:
        """The work of both, one after the other: counts are added, `bytes_held` is the maximum."""
        return Work(
            self.block_tokens + other.block_tokens,
            self.head_tokens + other.head_tokens,
            max(self.bytes_held, other.bytes_held),
            self.executed + other.executed,
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The losses of a population by window, and their cost.

    Attributes:
        sums: (patterns, windows) fitness summed over the predicted tokens of a window, in nats.
        tokens: (windows,) number of predicted tokens.
        costs: (patterns,) cost in dense-forward equivalents: 1 is one forward pass of the dense
            model over all windows, head included. Losses that another search has paid for are
            charged as if they were evaluated.
        work: the executed work.
        known: (patterns,) whether a cache answered a pattern completely; None without a cache.
    """

    sums: NDArray[np.float64]
    tokens: NDArray[np.int64]
    costs: NDArray[np.float64]
    work: Work = Work()
    known: NDArray[np.bool_] | None = None

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(patterns,) whether a cache answered a pattern completely."""
        import numpy as np

        return np.zeros(len(self.costs), dtype=bool) if self.known is None else self.known

    @property
    def hits(self) -> int:
        """Number of patterns that a cache answered completely."""
        return int(self.answered.sum())

    @property
    def losses(self) -> NDArray[np.float64]:
        """(patterns,) mean nats per predicted token; infinity if that is not finite."""
        import numpy as np

        losses = self.sums.sum(axis=1) / self.tokens.sum()
        return np.where(np.isfinite(losses), losses, np.inf)

    @property
    def cost(self) -> float:
        """Dense-forward equivalents charged for the whole population."""
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


class CostAlone(Protocol):
    """The costs of an evaluator's calls if it is asked for all of them, without their losses."""

    @property
    def kept(self) -> KeptNames:
        """The hidden states that the evaluator would have kept for the next call, by name."""
        ...

    def costs(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """(patterns,) costs of `evaluate` with these arguments, after all earlier calls."""
        ...

    def anew(self) -> CostAlone:
        """Return the costs of another search, before its first call."""
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
    def alone(self) -> CostAlone | None:
        """What its calls cost if no loss is shared; None if `batches` is None."""
        ...

    @property
    def arithmetic(self) -> str:
        """What affects the last bits of a sum, besides model, pattern, window and batch."""
        ...

    @property
    def kept(self) -> KeptNames:
        """The hidden states kept for the next call, by name."""
        ...
