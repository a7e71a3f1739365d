"""Evaluators that charge the full cost of a pattern, even if its loss was cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evop_deap.fitness.charged import ChargedEvaluator
from evop_deap.fitness.meter import Meter
from evop_deap.fitness.protocol import Evaluation, Evaluator
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from evop_deap.runs.prepared import Prepared
    from evop_deap.runs.search_evaluator import SearchEvaluator


def searches_alone(prepared: Prepared, opened: SearchEvaluator) -> Callable[[], Evaluator]:
    """Return what begins a search that is charged what it would cost alone.

    All searches share the losses of `opened`. Each pays for the hidden states that it has not kept
    itself, and for the fits of compensation that none of its own patterns has needed before.
    """
    from evop_deap.runs.search_evaluator import with_fits

    def begin() -> Evaluator:
        if opened.alone is None:
            work = [unit.work for unit in prepared.space.units]
            head = prepared.anatomy.head_work
            charged: Evaluator = evenly_charged(opened.cached, work=work, head_work=head)
        else:
            charged = ChargedEvaluator(opened.cached, opened.alone.anew())
        fitted, _ = with_fits(charged, prepared)
        return Meter(fitted, after=lambda patterns, found: opened.release())

    return begin


def evenly_charged(
    evaluator: Evaluator,
    *,
    work: Sequence[int],
    head_work: int,
    release: Callable[[], object] | None = None,
) -> Meter:
    """Return a meter that charges `evaluator`'s losses at the cost of the population evaluator.

    Where trials share a cache, the cost actually spent depends on earlier trials. The cost that a
    search would have alone does not.

    Args:
        evaluator: evaluates the patterns.
        work: multiply-adds per token of each unit.
        head_work: multiply-adds per token of the head.
        release: called after each evaluation, to share new losses.

    Example:
        >>> from evop_deap.fitness.tabular import TabularEvaluator
        >>> table = TabularEvaluator({(1, 0): 2.5})
        >>> evenly_charged(table, work=[2, 2], head_work=1).evaluate([(1, 0)]).costs
        array([0.6])
    """
    windows = len(evaluator.evaluate([]).tokens)

    def charge(patterns: Sequence[Pattern], found: Evaluation) -> Evaluation:
        share = len(found.tokens) / windows
        return replace(found, costs=walk_costs(patterns, work, head_work) * share)

    return Meter(evaluator, charge=charge, after=release and (lambda patterns, found: release()))
