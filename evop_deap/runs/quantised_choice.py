"""The settings of a search for a model with quantised weights, and what it tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError
from evop_deap.heuristics.registry import ALL_CHEAP, METHODS
from evop_deap.recovery.compensation.form_names import AUTO, OFF
from evop_deap.runs.export_base import check_base
from evop_deap.runs.listeners.progress import Progress
from evop_deap.settings.heuristic_names import SEARCH
from evop_deap.settings.search_config import SearchConfig

if TYPE_CHECKING:
    from evop_deap.models.loading.load_model import LoadedModel


def for_weights(config: SearchConfig, loaded: LoadedModel, progress: Progress) -> SearchConfig:
    """Return the settings for a model with quantised weights, or another one to export from.

    Raises:
        InputError: a setting needs weights that can be read and changed as numbers, or the model
            to export from is built differently.
    """
    if config.export_from is not None:
        config = _for_base(config, config.export_from, loaded, progress)
    return _for_quantised(config, loaded, progress)


def _for_base(
    config: SearchConfig, base: str, loaded: LoadedModel, progress: Progress
) -> SearchConfig:
    """Return the settings where the weights of another model are exported."""
    check_base(base, config, loaded.model.config)
    if config.compensate not in (AUTO, OFF):
        raise InputError(
            f"`compensate` {config.compensate} changes weights of `model`, but `export_from` "
            f"{base} has its own: add --compensate off"
        )
    if config.method != SEARCH and METHODS[config.method].merges:
        raise InputError(
            f"`method` {config.method} merges blocks of `model`, but `export_from` {base} has its "
            "own: choose another"
        )
    if config.compensate == AUTO:
        progress.stage(f"not compensated: the weights of {base} are exported")
    return config.replace(compensate=OFF)


def _for_quantised(config: SearchConfig, loaded: LoadedModel, progress: Progress) -> SearchConfig:
    """Return the settings for a model whose weights may be quantised."""
    from evop_deap.fitness.model.self_check import allowed_difference
    from evop_deap.models.anatomy.quantisation import is_quantised, method_of, rounds_to
    from evop_deap.models.surgery.logit_difference import relative_tolerance

    model = loaded.model
    if not is_quantised(model):
        return config
    method, rounded = method_of(model.config), rounds_to(model, model.dtype)
    dtype = str(rounded).removeprefix("torch.")
    progress.stage(
        f"its weights are quantised ({method}) and are evaluated as they are; self-check and "
        f"export compare in {dtype}: losses within {allowed_difference(rounded):g} nats a token, "
        f"logits within {relative_tolerance(rounded):.2g} of the largest"
    )
    if config.compensate == AUTO:
        progress.stage("not compensated: quantised weights cannot be solved anew")
    elif config.compensate != OFF:
        raise InputError(not_compensated(loaded, config.compensate))
    names = (config.method,) if config.method != SEARCH else config.init
    for name in names:
        if name in METHODS and METHODS[name].reads_weights:
            which = "init" if config.method == SEARCH else "method"
            raise InputError(
                f"`{which}` {name} reads weights as numbers, but those of `model` {loaded.name} "
                f"are quantised ({method}): choose another"
            )
    init = _cheap(config.granularity) if config.init == (ALL_CHEAP,) else config.init
    return config.replace(compensate=OFF, init=init)


def not_compensated(loaded: LoadedModel, form: str) -> str:
    """Return why a form of compensation cannot be had of a quantised model, and what would do."""
    from evop_deap.models.anatomy.quantisation import method_of

    return (
        f"`compensate` {form} solves weights anew, but those of `model` {loaded.name} are "
        f"quantised ({method_of(loaded.model.config)}): add --compensate off"
    )


def _cheap(granularity: str) -> tuple[str, ...]:
    """Return the heuristics that seed a search of a quantised model."""
    return tuple(
        method.name
        for method in METHODS.values()
        if method.cheap and not method.reads_weights and granularity in method.granularities
    )
