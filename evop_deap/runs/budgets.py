"""Search at several budgets, the smallest first, with one cache of losses.

Each budget informs the next: its losses train the surrogate, and its best patterns are grown into
first patterns. Each budget has its own evolution and its own folder, with the layout of a run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext

from evop_deap.evolution.callbacks import at_limit
from evop_deap.evolution.stopping import EXHAUSTED
from evop_deap.runs.context import Context
from evop_deap.runs.pipeline import run_stages, write_beginning
from evop_deap.runs.recorder import Recorder
from evop_deap.runs.stages.conclude import draw_report
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.search_patterns import search_patterns
from evop_deap.runs.storage.checkpoint import Checkpoint
from evop_deap.runs.storage.loaded_run import whole_result
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.heuristic_names import SEARCH


def search_budgets(
    contexts: Sequence[Context],
    stored: Sequence[Checkpoint | None],
    began: float,
    *,
    alone: bool,
) -> list[SearchResult]:
    """Run each budget in turn, and skip those that an earlier process has finished.

    Args:
        contexts: one for each budget, from the smallest.
        stored: checkpoint of each budget, or None.
        began: start of the run on the monotonic clock, in seconds; the time since then is charged
            to the first budget that is searched.
        alone: whether there is a single budget, which uses the folder of the run.

    Returns:
        The result of each budget.
    """
    results = []
    smaller: Found | None = None
    for context, before in zip(contexts, stored, strict=True):
        with nullcontext() if alone else context.folder.exclusive():
            result = _finished(context, before)
            if result is not None and before is not None and before.evolution is not None:
                over = f"nothing is left to search: it stopped {result.stopped}"
                context.progress.stage(
                    over if alone else f"sparsity {context.config.share:g}: {over}"
                )
                found = Found.of_evolution(before.evolution)
                if not context.folder.report.exists():  # killed after the result was written
                    draw_report([context.folder.path], context.folder.report, context.progress)
            else:
                if not alone:
                    _announce(context)
                found, result = _search(context, before, smaller, began)
                began = time.monotonic()
        smaller = found if context.config.method == SEARCH else None
        results.append(result)
    return results


def _announce(context: Context) -> None:
    space, share = context.space, context.config.share
    dropped = f"drop {space.n_drop} of {len(space.units)} units"
    context.progress.budget(context.folder.path, f"sparsity {share:g}: {dropped}")


def _search(
    context: Context, before: Checkpoint | None, smaller: Found | None, began: float
) -> tuple[Found, SearchResult]:
    recorder = Recorder(context, before)
    write_beginning(context, before.state.generation if before else -1)
    loading = time.monotonic() - began
    found = search_patterns(context, before, recorder.record, smaller)
    return found, run_stages(context, found, recorder, loading + found.seconds)


def _finished(context: Context, before: Checkpoint | None) -> SearchResult | None:
    """Return the result of a budget that is finished, else None."""
    state, result = before.evolution if before else None, whole_result(context.folder)
    if state is None or result is None or result.generations != state.generation:
        return None
    over = at_limit(state, context.config.stopping).stopped or result.stopped == EXHAUSTED
    return result if over else None
