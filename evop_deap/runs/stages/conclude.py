"""The last stage: write the model card, the result and the report."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evop_deap.base.files import write_json, write_text
from evop_deap.runs.context import Context
from evop_deap.runs.drawn_page import draw_page
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.stages.answer import Answered
from evop_deap.runs.stages.export_model import Exported
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.measure import Measured
from evop_deap.runs.stages.near_equals import NearEqual
from evop_deap.runs.stages.recover import Compensated
from evop_deap.runs.stages.validate import Validated
from evop_deap.runs.storage.findings import Findings, Fitness
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.config_files import settings_as_yaml
from evop_deap.settings.heuristic_names import SEARCH
from evop_deap.space import SearchSpace, dropped_units, kept_units
from evop_deap.surrogate.explanation import explain
from evop_deap.surrogate.observations import observe
from evop_deap.surrogate.preference import surrogate_of

_VERSIONED = ("evop_deap", "torch", "transformers", "tokenizers", "datasets", "deap", "numpy")


def conclude(context: Context, before: Outputs, seconds: float) -> SearchResult:
    """Write the model card, the result and the report of a run.

    Args:
        context: the run.
        before: outputs of all earlier stages.
        seconds: time spent on the run, over all processes.
    """
    from evop_deap.models.export.checkpoint_checks import folder_size
    from evop_deap.models.loading.model_config import known_hub_id
    from evop_deap.reporting.model_card import model_card

    folder, exported = context.folder, before[Exported]
    findings = _findings(context, before)
    settings = settings_as_yaml(context.config)
    checkpoint = None
    if exported.failure is None:
        loaded = context.loaded
        name = context.config.export_from
        base = None if name is None or exported.base is None else (name, *exported.base)
        hub_id = loaded.hub_id if base is None else known_hub_id(base[0])
        card = model_card(findings, settings, base_model=hub_id, beside=loaded.beside, base=base)
        write_text(folder.model / "README.md", card)
        checkpoint = {
            "layers": exported.layers,
            "half_layers": exported.half_layers,
            "parameters": exported.parameters,
            "zeroed": exported.zeroed,
            "bytes": folder_size(folder.model),
        }
    result = SearchResult(
        **vars(findings),
        checkpoint=checkpoint,
        export_difference=None if checkpoint is None else exported.difference,
        refused=tuple(_refused(before[Validated], context.space)),
        seconds=seconds,
    )
    write_json(folder.result, result.as_dict())
    draw_report([folder.path], folder.report, context.progress)
    context.progress.finished(result)
    return result


def draw_report(runs: Sequence[Path], output: Path, progress: Progress) -> None:
    """Write the report page of runs; a failure is a warning and not an error."""

    def draw() -> None:
        from evop_deap.reporting.page import write_report

        write_report(runs, output)

    draw_page(output, draw, progress.warn)


def _findings(context: Context, before: Outputs) -> Findings:
    from evop_deap.models.anatomy.devices import device_of
    from evop_deap.models.anatomy.element_counts import elements

    found, validated, measured = before[Found], before[Validated], before[Measured]
    config, space, evaluator = context.config, context.space, context.evaluator
    dropped, kept = dropped_units(validated.pattern), kept_units(validated.pattern)
    counts = dataclasses.asdict(found.work)
    executed = counts.pop("executed") + evaluator.dense_executed + validated.executed
    parameters = elements(context.loaded.model)
    return Findings(
        model=config.model,
        method=config.method,
        model_fingerprint=context.fingerprint,
        corpus=context.corpus,
        kept=tuple(space.units[i].name for i in kept),
        dropped=tuple(space.units[i].name for i in dropped),
        merged=found.pruned is not None,
        units=tuple(dataclasses.asdict(unit) for unit in space.units),
        n_blocks=len(context.anatomy.blocks),
        granularity=context.anatomy.granularity,
        sparsity=len(dropped) / len(validated.pattern),
        budget=tuple(_reached(space, dropped)),
        fitness=Fitness(
            name=config.fitness,
            dense=evaluator.dense_loss,
            pruned=validated.near_equals[0].loss,
            compensated=context.compensator is not None,
        ),
        calibration=measured.calibration,
        heldout=measured.heldout,
        runner_up=measured.runner_up,
        heuristics=measured.heuristics,
        parameters={
            "dense": parameters,
            "pruned": parameters - sum(space.units[i].parameters for i in dropped),
        },
        evaluations=found.evaluations,
        cut_short=found.eliminated,
        cache_hits=found.cache_hits,
        cost=found.cost + evaluator.dense_cost + validated.cost,
        executed=executed,
        work=counts,
        finalists=tuple(_described(one, space) for one in validated.near_equals),
        validation=_validation(context, validated),
        answers=before[Answered].about,
        compensation=before[Compensated].about,
        surrogate=_learned(context),
        generations=found.generations,
        stopped=found.stopped,
        seed=config.seed,
        evaluator=evaluator.name,
        dtype=config.dtype,
        device=device_of(context.loaded.model).type,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in _VERSIONED},
        },
    )


def _validation(context: Context, validated: Validated) -> dict[str, Any]:
    """Return how the pattern was chosen among its near-equals."""
    windows = context.searched.validation
    count, window = 0, None
    if windows is not None:
        count = len(windows.tokens)
        window = None if context.questions else context.text.calibration.tokens.shape[1]
    return {
        "contenders": validated.tied,
        "windows": count,
        "window": window,
        "fingerprint": None if windows is None else windows.fingerprint,
        "cost": validated.cost,
        "executed": validated.executed,
    }


def _reached(space: SearchSpace, dropped: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield each limit of the budget with the value that the pattern reaches."""
    if not space.allowances:
        yield {"kind": "units", "limit": space.n_drop, "reached": len(dropped)}
    for allowance in space.allowances:
        used = allowance.used(dropped)
        yield {"kind": allowance.name, "limit": allowance.limit, "reached": used}


def _refused(validated: Validated, space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Yield the patterns that could not be exported, each with the reason."""
    for pattern, reason in validated.tried:
        yield {
            "dropped": [space.units[i].name for i in dropped_units(pattern)],
            "reason": reason,
        }


def _described(one: NearEqual, space: SearchSpace) -> dict[str, Any]:
    """Return a close pattern as JSON values, with its pattern as names of dropped units."""
    dropped = [space.units[i].name for i in dropped_units(one.pattern)]
    numbers = {n: v for n, v in dataclasses.asdict(one).items() if n != "pattern"}
    return {"dropped": dropped, **numbers}


def _learned(context: Context) -> dict[str, Any] | None:
    """Return the surrogate's effects of the units, learned from all losses; None without one."""
    config, space, evaluator = context.config, context.space, context.evaluator.cached
    surrogate = surrogate_of(config.surrogate) if config.method == SEARCH else None
    seen = observe(evaluator.rows, evaluator.tokens, space.dense)
    if surrogate is None or len(seen) < 2:
        return None
    # The explanation includes harmful units, so their high losses must not be squeezed.
    process = dataclasses.replace(surrogate, ceiling=1.0).learn(seen, space)
    return explain(process, space, rng=context.rng).as_dict()
