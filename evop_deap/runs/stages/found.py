"""The outcome of a search or a heuristic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evop_deap.evolution.state import EvolutionState
from evop_deap.fitness.protocol import Work
from evop_deap.runs.pruned_model import PrunedModel
from evop_deap.space import Pattern


@dataclass(frozen=True, eq=False)
class Found:
    """The outcome of a search or a heuristic.

    Attributes:
        pattern: the best pattern, 1 = keep.
        loss: its fitness in nats a token.
        losses: fitness of the patterns that were evaluated on all windows.
        picks: first patterns that heuristics picked, by the heuristic's name.
        evaluations: patterns evaluated, on all windows or some.
        eliminated: patterns that a race eliminated, which `evaluations` includes.
        cache_hits: patterns with a cached loss.
        cost: dense-forward equivalents spent.
        work: the executed work in tokens and bytes.
        generations: generations after the first; for a heuristic, requests after the first.
        stopped: reason for the end.
        seconds: time spent, over all processes.
        pruned: the pruned model, if a heuristic has changed kept weights; else None, and the
            pattern describes it.
    """

    pattern: Pattern
    loss: float
    losses: Mapping[Pattern, float]
    evaluations: int
    cache_hits: int
    cost: float
    work: Work
    generations: int
    stopped: str
    seconds: float
    eliminated: int = 0
    picks: Mapping[str, Pattern] = field(default_factory=dict)
    pruned: PrunedModel | None = None

    @classmethod
    def of_evolution(cls, state: EvolutionState) -> Found:
        """Return the outcome of an evolution."""
        return cls(
            pattern=state.best.pattern,
            loss=state.best.loss,
            losses=state.losses,
            evaluations=state.evaluations,
            cache_hits=state.cache_hits,
            cost=state.cost,
            work=state.work,
            generations=state.generation,
            stopped=state.stopped or "",
            seconds=state.seconds,
            eliminated=len(state.eliminated),
            picks=state.picks,
        )
