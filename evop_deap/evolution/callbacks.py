"""Callbacks and stopping limits after a generation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping

Callback = Callable[[EvolutionState], object]
"""Called with the state after each generation; a true result ends the search."""


def after_generation(
    state: EvolutionState, stopping: Stopping, callbacks: Sequence[Callback], *, began: float
) -> EvolutionState:
    """Return the state with its time and, if the search ends here, the reason.

    All callbacks are called, even after one has ended the search.

    Args:
        state: after the generation.
        stopping: limits of the search.
        callbacks: called in this order.
        began: start of the search by `time.monotonic`, in seconds.
    """
    state = at_limit(replace(state, seconds=time.monotonic() - began), stopping)
    results = [callback(state) for callback in callbacks]
    if any(results) and state.stopped is None:
        state = replace(state, stopped="as a callback asked for it")
    return state


def at_limit(state: EvolutionState, stopping: Stopping) -> EvolutionState:
    """Return the state with the reason to stop, or None while no limit is reached."""
    reason = stopping.reason(
        state.generation,
        evaluations=state.evaluations,
        cost=state.cost,
        seconds=state.seconds,
        stagnant=state.generation - state.best_since,
        prospect=state.prospect,
    )
    return replace(state, stopped=reason)
