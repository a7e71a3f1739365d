"""The pruned model after the stages so far."""

from __future__ import annotations

from evop_deap.runs.context import Context
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.pruned_model import PrunedModel, of_pattern
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.recover import Compensated, made_again
from evop_deap.runs.stages.validate import Validated


def uncompensated_model(context: Context, before: Outputs) -> PrunedModel:
    """Return the validated pattern, or the merged model of a heuristic."""
    return before[Found].pruned or of_pattern(context, before[Validated].pattern)


def current_model(context: Context, before: Outputs) -> PrunedModel:
    """Return the output of the latest stage that changed weights, else the validated pattern."""
    compensated = before.get(Compensated)
    if compensated is not None and compensated.taken:
        return compensated.made or made_again(context, before)
    return uncompensated_model(context, before)
