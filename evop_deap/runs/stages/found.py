"""What a search or a heuristic ended in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evop_deap.evolution.state import EvolutionState
from evop_deap.fitness.protocol import Work
from evop_deap.runs.pruned_model import PrunedModel
from evop_deap.space import Pattern


@dataclass(frozen=True, eq=False)
class Found:
    """What a search or a heuristic ended in.

    Attributes:
        pattern: the best one, 1 = keep.
        loss: its fitness in nats a token.
        losses: of the space's patterns that were evaluated on all windows.
        picks: first patterns that heuristics picked, by the heuristic's name.
        evaluations: patterns evaluated, on all windows or some.
        eliminated: those of them that a race eliminated.
        cache_hits: patterns whose loss was known.
        cost: dense-forward equivalents spent.
        work: the same work by what it was.
        generations: after the first one; of a heuristic, requests after its first one.
        stopped: why it ended.
        seconds: time spent, over all processes that worked on it.
        pruned: the pruned model, where a heuristic has changed kept weights; else the pattern
            describes it.
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
        """The end of an evolution."""
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
