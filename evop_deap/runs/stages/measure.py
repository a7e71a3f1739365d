"""From the pattern that a search settled on to a measured, exported and checked model."""

from __future__ import annotations

import dataclasses
import math
import platform
import random
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from evop_deap.settings.search_config import SEARCH, SearchConfig
from evop_deap.settings.config_files import settings_as_yaml
from evop_deap.evolution.state import EvolutionState
from evop_deap.base.files import write_json, write_text
from evop_deap.fitness.protocol import Evaluator
from evop_deap.fitness.weighted import WeightedEvaluator
from evop_deap.runs.near_equals import Finalist
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.search_evaluator import Judge
from evop_deap.runs.stages.validate import LastLook, settle
from evop_deap.runs.merged_model import sums_of, weighted
from evop_deap.runs.storage.result import Fitness, SearchResult
from evop_deap.runs.stages.compare import Rows, picked_by_rules, rival, second_best
from evop_deap.runs.stages.prepare import Subject
from evop_deap.runs.storage.text_losses import TextLoss
from evop_deap.space import Pattern, SearchSpace, dropped_units, kept_units
from evop_deap.surrogate.explanation import explain
from evop_deap.surrogate.observations import observe
from evop_deap.surrogate.preference import surrogate_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.calibration import WindowSet

_VERSIONED = ("evop_deap", "torch", "transformers", "tokenizers", "datasets", "deap", "numpy")


def hand_over(
    config: SearchConfig,
    subject: Subject,
    folder: RunFolder,
    state: EvolutionState,
    *,
    judge: Judge,
    merged: PreTrainedModel | None,
    seconds: float,
) -> SearchResult:
    """Measure the best pattern on held-out text, export it, and write the result last.

    Args:
        config: the effective settings.
        subject: what was searched.
        folder: where everything goes.
        state: the end of the search.
        judge: the evaluator, and what it says of the dense model.
        merged: the pruned model itself, where it is more than the dense one without some units.
        seconds: time spent until now, over all processes.

    Raises:
        ExportError: the reloaded checkpoint is not the model that was searched.
        OutputError: something cannot be written; what is there stays whole.
    """
    from evop_deap.models.anatomy.find_anatomy import find_anatomy
    from evop_deap.models.export.export_checkpoint import export_checkpoint
    from evop_deap.reporting.model_card import model_card

    began = time.monotonic()
    loaded, anatomy = subject.loaded, subject.anatomy
    look = settle(config, subject, judge, state, merged=merged is not None)
    best = look.finalists[0].pattern
    found = _measure(config, subject, state, judge, look, merged)
    report = export_checkpoint(
        loaded.model if merged is None else merged,
        anatomy if merged is None else find_anatomy(merged),
        dropped_units(best) if merged is None else (),
        loaded.tokenizer,
        folder.model,
        card=model_card(found, settings_as_yaml(config), base_model=loaded.hub_id),
        stored_dtype=loaded.stored_dtype,
        trust_remote_code=config.trust_remote_code,
        # The result of an earlier, shorter run must not stand beside another model.
        before_replacing=lambda: folder.result.unlink(missing_ok=True),
    )
    if merged is None:
        _write_patterns(folder, subject, best)
    result = dataclasses.replace(
        found,
        checkpoint={
            "layers": report.layers,
            "half_layers": report.half_layers,
            "parameters": report.parameters,
            "zeroed": report.zeroed,
            "bytes": report.bytes,
        },
        export_difference=report.max_logit_difference,
        seconds=seconds + time.monotonic() - began,
    )
    write_json(folder.result, result.as_dict())
    return result


def _measure(
    config: SearchConfig,
    subject: Subject,
    state: EvolutionState,
    judge: Judge,
    look: LastLook,
    merged: PreTrainedModel | None,
) -> SearchResult:
    """Everything known of the pattern before it is exported."""
    space, anatomy, model = subject.space, subject.anatomy, subject.loaded.model
    best = look.finalists[0].pattern
    dropped, kept = dropped_units(best), kept_units(best)
    text = subject.text
    names = picked_by_rules(state)
    second = None if merged is not None else second_best(state, look.finalists)
    patterns = list(dict.fromkeys([space.dense, best, *names, *([second] if second else [])]))
    known = config.fitness == "ce" and merged is None
    seen = (
        (judge.evaluator.rows, judge.evaluator.tokens)
        if known
        else _judged(subject, text.calibration, patterns, text.weights, merged)
    )
    held = _judged(subject, text.heldout, patterns, None, merged)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return SearchResult(
        model=config.model,
        method=config.method,
        model_fingerprint=subject.fingerprint,
        corpus=subject.corpus,
        kept=tuple(space.units[i].name for i in kept),
        dropped=tuple(space.units[i].name for i in dropped),
        merged=merged is not None,
        units=tuple(dataclasses.asdict(unit) for unit in space.units),
        n_blocks=len(anatomy.blocks),
        granularity=anatomy.granularity,
        sparsity=len(dropped) / len(best),
        budget=tuple(_reached(space, dropped)),
        fitness=Fitness(config.fitness, judge.dense_fitness, look.finalists[0].loss),
        calibration=_text_loss(text.calibration, space.dense, best, *seen),
        heldout=_text_loss(text.heldout, space.dense, best, *held),
        runner_up=rival(best, second, space, seen, held) if second else None,
        heuristics=tuple(
            rival(best, pattern, space, seen, held, rules) for pattern, rules in names.items()
        ),
        parameters={
            "dense": parameters,
            "pruned": parameters - sum(space.units[i].parameters for i in dropped),
        },
        evaluations=state.evaluations,
        cut_short=len(state.eliminated),
        cache_hits=state.cache_hits,
        cost=state.cost + judge.dense_cost + look.cost,
        work=dataclasses.asdict(state.work),
        finalists=tuple(_described(finalist, space) for finalist in look.finalists),
        validation=_validation(look, text.validation),
        surrogate=_learned(config, space, judge),
        generations=state.generation,
        stopped=state.stopped or "",
        seed=config.seed,
        evaluator=judge.name,
        dtype=config.dtype,
        device=model.device.type,
        checkpoint={},
        export_difference=0.0,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in _VERSIONED},
        },
        seconds=0.0,
    )


def _judged(
    subject: Subject,
    windows: WindowSet,
    patterns: Sequence[Pattern],
    weights: NDArray[np.float64] | None,
    merged: PreTrainedModel | None,
) -> tuple[Rows, NDArray[np.int64]]:
    """Cross-entropy of each pattern, and the windows' tokens; the merged model is the second."""
    from evop_deap.fitness.model.reference import ReferenceEvaluator

    evaluator: Evaluator = ReferenceEvaluator(subject.loaded.model, subject.anatomy, windows.tokens)
    if weights is not None:
        evaluator = WeightedEvaluator(evaluator, weights)
    found = evaluator.evaluate(patterns[:1] if merged is not None else patterns)
    sums = list(found.sums)
    if merged is not None:
        sums.append(weighted(sums_of(merged, windows.tokens), weights))
    return dict(zip(patterns, sums, strict=True)), found.tokens


def _validation(look: LastLook, windows: WindowSet | None) -> dict[str, Any]:
    """How the pattern was named among those near it."""
    count, window = (0, None) if windows is None else windows.tokens.shape
    return {
        "contenders": look.contenders,
        "windows": count,
        "window": window,
        "fingerprint": None if windows is None else windows.fingerprint,
        "cost": look.cost,
    }


def _reached(space: SearchSpace, dropped: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What was to go, and what went."""
    if not space.allowances:
        yield {"kind": "units", "limit": space.n_drop, "reached": len(dropped)}
    for allowance in space.allowances:
        used = allowance.used(dropped)
        yield {"kind": allowance.name, "limit": allowance.limit, "reached": used}


def _described(finalist: Finalist, space: SearchSpace) -> dict[str, Any]:
    """A finalist in plain JSON values, its pattern by the units that go."""
    dropped = [space.units[i].name for i in dropped_units(finalist.pattern)]
    numbers = {n: v for n, v in dataclasses.asdict(finalist).items() if n != "pattern"}
    return {"dropped": dropped, **numbers}


def _learned(config: SearchConfig, space: SearchSpace, judge: Judge) -> dict[str, Any] | None:
    """What the surrogate says of the units, from everything seen."""
    surrogate = surrogate_of(config.surrogate) if config.method == SEARCH else None
    seen = observe(judge.evaluator.rows, judge.evaluator.tokens, space.dense)
    if surrogate is None or len(seen) < 2:
        return None
    # Asked about bad units too, it has to know how bad they are.
    process = dataclasses.replace(surrogate, ceiling=1.0).learn(seen, space)
    return explain(process, space, rng=random.Random(config.seed)).as_dict()


def _text_loss(
    windows: WindowSet,
    dense: Pattern,
    pruned: Pattern,
    rows: Rows,
    tokens: NDArray[np.int64],
) -> TextLoss:
    count, window = windows.tokens.shape
    both = {"dense": rows[dense], "pruned": rows[pruned]}
    return TextLoss(
        loss={name: _mean(sums, tokens) for name, sums in both.items()},
        tokens=count * (window - 1),
        windows=count,
        window=window,
        fingerprint=windows.fingerprint,
    )


def _mean(sums: NDArray[np.float64], tokens: NDArray[np.int64]) -> float:
    loss = float(sums.sum() / tokens.sum())
    return loss if math.isfinite(loss) else math.inf


def _write_patterns(folder: RunFolder, subject: Subject, best: Pattern) -> None:
    """The pattern in the formats of other tools."""
    from evop_deap.models.formats import Drops, layer_drop_config, mergekit_passthrough

    source = subject.loaded.hub_id or subject.loaded.name
    dtype = str(subject.loaded.stored_dtype).removeprefix("torch.")
    dropped = (subject.space.units[i].name for i in dropped_units(best))
    drops = Drops.named(len(subject.anatomy.blocks), dropped)
    write_text(folder.drop_config, layer_drop_config(drops))
    if drops.halves:
        # That of an earlier, shorter run would be about another pattern.
        folder.mergekit.unlink(missing_ok=True)
    else:
        write_text(folder.mergekit, mergekit_passthrough(source, drops, dtype))
