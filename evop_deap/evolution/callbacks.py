"""What follows a generation: whether it is the last, and who hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping

Callback = Callable[[EvolutionState], object]
"""Called with the state after each generation; a true answer ends the search."""


def after_generation(
    state: EvolutionState, stopping: Stopping, callbacks: Sequence[Callback], *, began: float
) -> EvolutionState:
    """The state with the time since `began`, in the clock's seconds, and why it is the last.

    Every callback hears of it, whatever those before it answered.
    """
    state = at_limit(replace(state, seconds=time.monotonic() - began), stopping)
    answers = [callback(state) for callback in callbacks]
    if any(answers) and state.stopped is None:
        state = replace(state, stopped="a callback asked for it")
    return state


def at_limit(state: EvolutionState, stopping: Stopping) -> EvolutionState:
    """The state, which says why it is the last where a limit is reached."""
    reason = stopping.reason(
        state.generation,
        evaluations=state.evaluations,
        cost=state.cost,
        seconds=state.seconds,
        stagnant=state.generation - state.best_since,
    )
    return replace(state, stopped=reason)
