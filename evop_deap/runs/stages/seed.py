"""The first patterns of a search: the picks of heuristics and patterns of a smaller budget."""

from __future__ import annotations

from dataclasses import replace

from evop_deap.evolution.grown_patterns import grow
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.strategies import Seeds
from evop_deap.heuristics.first_patterns import scorers_of, seeding_methods, seeds_of
from evop_deap.heuristics.kept_scores import KeptScores
from evop_deap.heuristics.task import Task
from evop_deap.runs.context import Context
from evop_deap.runs.stages.found import Found
from evop_deap.settings.heuristic_names import BALANCED


def find_seeds(
    context: Context, stopping: Stopping, kept: KeptScores, smaller: Found | None = None
) -> Seeds:
    """Return the picks of the heuristics in `init`, and patterns grown from a smaller budget.

    Losses that heuristics request are cached, and the surrogate learns from them.

    Args:
        context: the run.
        stopping: limits of the search.
        kept: scores of units that are known, and holds new ones.
        smaller: outcome at the next smaller budget.
    """
    init, space = context.config.init, context.space
    grown = () if smaller is None else grow(smaller.losses, space)
    if init == (BALANCED,):
        return Seeds(grown=grown)
    methods = seeding_methods(init, space)
    for method in methods:
        context.progress.stage(f"seeding the search by {method.title}")
        said = method.unheeded(replace(stopping, evaluations=None))  # more of them are refused
        if said is not None and not method.cheap:
            context.progress.stage(said)
    task = Task(space, context.evaluator.cached, context.rng, stopping, context.model_parts)
    task = replace(task, scores=kept.known(task, scorers_of(methods)))
    return replace(seeds_of(methods, task, kept.hold), grown=grown)
