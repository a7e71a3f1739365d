"""How long a run will still take, from its speed so far and from how sure its surrogate is."""

from __future__ import annotations

import math

from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.recovery.compensation.form_names import OFF
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.stages.near_equals import MOST

# Passes over a text, at the speed of the search: the stages behind it share prefixes and compute
# more windows together, so they are faster.
_COMPENSATION, _MEASURED, _VALIDATED = 1.2, 3, MOST // 2
_LEAST_DOUBT = 1.0  # generations that a sure surrogate needs to be sure again


def generations_left(state: EvolutionState, stopping: Stopping) -> float | None:
    """Return how many generations a search will probably still take; None without any limit.

    On recorded searches, a search that ends when it is sure has about this many generations left:
    those done, times the share by which the logarithm of the chance still has to fall, and one.

    Example:
        >>> state = EvolutionState(6, (), {}, (), 9.0, 0, 30.0, 0, ())
        >>> generations_left(state, Stopping(generations=10))
        4.0
    """
    done = state.generation + 1
    limits: list[float] = []
    if stopping.generations is not None:
        limits.append(float(stopping.generations - state.generation))
    for most, spent in (
        (stopping.evaluations, state.evaluations),
        (stopping.cost, state.cost),
        (stopping.seconds, state.seconds),
    ):
        if most is not None and spent > 0:
            limits.append(done * (most - spent) / spent)
    row = state.records[-1] if state.records else {}
    if stopping.sure is not None and row.get("trusted") and "chance" in row:
        chance = max(row["chance"], 1e-9)
        doubt = max(0.0, 1 - math.log(chance) / math.log(1 - stopping.sure))
        limits.append(state.generation * doubt + _LEAST_DOUBT)
    return max(0.0, min(limits)) if limits else None


def seconds_left(state: EvolutionState, stopping: Stopping, after: float) -> float | None:
    """Return the seconds that a run will probably still take; None without any limit.

    Args:
        state: state of the search.
        stopping: limits of the search.
        after: cost of the stages after the search, in dense-forward equivalents.
    """
    left = generations_left(state, stopping)
    executed = state.work.executed
    if left is None or not executed:
        return None
    return left * state.seconds / (state.generation + 1) + after * state.seconds / executed


def cost_after(run: Prepared) -> float:
    """Return about what the stages after the search cost, in dense-forward equivalents."""
    text = run.text
    tokens = _MEASURED * text.heldout.tokens.size
    if text.validation is not None:
        tokens += _VALIDATED * text.validation.tokens.size
    if run.config.compensate != OFF:
        tokens += int(_COMPENSATION * (text.compensation or text.calibration).tokens.size)
    return tokens / text.calibration.tokens.size
