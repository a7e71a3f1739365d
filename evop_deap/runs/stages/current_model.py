"""The pruned model after the stages so far."""

from __future__ import annotations

from evop_deap.runs.context import Context
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.pruned_model import PrunedModel, of_pattern
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.validate import Validated


def current_model(context: Context, before: Outputs) -> PrunedModel:
    """Return the output of the latest stage that changed weights, else the validated pattern."""
    changed = before.get(PrunedModel) or before[Found].pruned
    return changed or of_pattern(context, before[Validated].pattern)
