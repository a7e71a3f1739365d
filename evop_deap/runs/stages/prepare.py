"""The first stage: load the model, its search space and the text to evaluate on."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.base.user_folders import REHEARSALS, cache_folder
from evop_deap.evolution.operators import init_uniform
from evop_deap.fitness.fitnesses import read_fitness
from evop_deap.runs.compensating import asks_for_compensator, is_streamed, search_compensator
from evop_deap.runs.draw_calibration import check_text, make_calibration, settled_by
from evop_deap.runs.draw_questions import check_questions, draw_questions
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import open_model
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.quantised_choice import for_weights
from evop_deap.runs.streaming_choice import where_weights
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import SearchSpace, Unit, dropped_units, units_named, units_to_drop
from evop_deap.space.budget import least_share, parse_budget

if TYPE_CHECKING:
    from evop_deap.models.surgery.kept_rehearsal import Check

_AFTER_THE_SEARCH = (
    "weights are streamed: the search evaluates patterns as they are, and the one found is "
    "compensated"
)
_PATTERNS = 4  # random patterns to rehearse before a model is refused


def prepare(config: SearchConfig, progress: Progress) -> Prepared:
    """Load and check everything for a single budget; write nothing.

    Raises:
        EvopError: the model, the corpus or the budget cannot be used.
    """
    (prepared,) = prepare_all([config], progress)
    return prepared


def prepare_all(configs: Sequence[SearchConfig], progress: Progress) -> list[Prepared]:
    """Load everything once for settings that differ only in their budget.

    Where windows are selected by their response to pruning, the last budget is used.

    Raises:
        EvopError: the model, the corpus or a budget cannot be used, or two budgets drop the same
            number of units.
    """
    from evop_deap.models.anatomy.kv_cache import kv_cache_bytes
    from evop_deap.models.anatomy.model_units import model_units
    from evop_deap.models.loading.fingerprint import fingerprint_model
    from evop_deap.models.loading.precision import dtype_of
    from evop_deap.models.surgery.kept_rehearsal import kept_check
    from evop_deap.models.surgery.packed_layers import pairs_that_repack
    from evop_deap.models.surgery.set_rehearsal import find_constraints
    from evop_deap.runs.window_responses import responder

    config = configs[-1]
    check_text(config)
    check_questions(config)
    loaded, anatomy = open_model(config, progress, config.granularity, where_weights(config))
    config = for_weights(config, loaded, progress)
    settled = {"compensate": config.compensate, "init": config.init}
    configs = [one.replace(**settled) for one in configs]
    held = (
        kv_cache_bytes(loaded.model, anatomy, loaded.context)
        if "kv" in (config.budget or "")
        else ()
    )
    units = model_units(anatomy, held)
    pairs = pairs_that_repack(loaded.model, anatomy) if config.repackable else ()
    spaces = [space_of(one, units, pairs) for one in configs]
    _check_different(configs, spaces)
    progress.stage("rehearsing the removal of blocks")
    fingerprint = fingerprint_model(loaded.model)
    kept = cache_folder() if config.cache else None
    check = kept_check(loaded.model, anatomy, fingerprint, kept and kept / REHEARSALS)
    constraints = find_constraints(
        loaded.model, anatomy, spaces[-1].droppable, spaces[-1].n_drop, check
    )
    for constraint in constraints:
        progress.stage(constraint.reason)
    spaces = [space.constrained(constraints) for space in spaces]
    _rehearse(check, spaces[-1], random.Random(config.seed), progress)
    questions = draw_questions(config, loaded, progress)
    on_text = read_fitness(config.fitness).on_text or "ce"
    text = make_calibration(
        config,
        loaded.tokenizer,
        context=loaded.context,
        model=lambda: (loaded, anatomy),
        respond=lambda: responder(
            loaded, anatomy, spaces[-1], seed=config.seed, fitness=on_text, progress=progress
        ),
        progress=progress,
        kept=kept,
    )
    if questions is not None:
        text.manifest["questions"] = questions.manifest
    dtype = str(dtype_of(loaded.model)).removeprefix("torch.")
    if asks_for_compensator(config) and is_streamed(loaded):
        progress.stage(_AFTER_THE_SEARCH)
    compensator = search_compensator(config, loaded, anatomy, text, max(s.n_drop for s in spaces))
    return [
        Prepared(
            config=settled_by(one, text).replace(dtype=dtype),
            loaded=loaded,
            anatomy=anatomy,
            space=space,
            fingerprint=fingerprint,
            corpus=text.manifest["corpus"]["name"],
            text=text,
            compensator=compensator,
            questions=questions,
        )
        for one, space in zip(configs, spaces, strict=True)
    ]


def space_of(
    config: SearchConfig, units: tuple[Unit, ...], pairs: Collection[int] = ()
) -> SearchSpace:
    """Return the space of patterns that meet the budget of `config`.

    Args:
        config: the settings.
        units: units of the model.
        pairs: halves that leave only whole layers if they are dropped with the next half.

    Raises:
        InputError: the budget or the protected units do not fit the model.
    """
    protected = units_named(units, config.protect)
    if config.budget is None:
        count = units_to_drop(len(units), config.share)
        if not config.repackable:
            return SearchSpace(units, count, protected)
        if count < 2:
            raise InputError(
                f"`repackable` drops halves in pairs, but `sparsity` {config.share} rounds to "
                f"one of {len(units)} units: at least {float(least_share(2, len(units)))}"
            )
        # Round down to an even number.
        return SearchSpace(units, count - count % 2, protected, pairs=frozenset(pairs))
    allowances = parse_budget(config.budget, units, protected)
    return SearchSpace.within(units, allowances, protected)


def _check_different(configs: Sequence[SearchConfig], spaces: Sequence[SearchSpace]) -> None:
    for one, other in itertools.pairwise(range(len(spaces))):
        if spaces[one].n_drop == spaces[other].n_drop:
            raise InputError(
                f"`sparsity` {configs[one].share} and {configs[other].share} both drop "
                f"{spaces[one].n_drop} of {len(spaces[one].units)} units: leave one out"
            )


def _rehearse(check: Check, space: SearchSpace, rng: random.Random, progress: Progress) -> None:
    """Refuse a model whose units cannot be removed, before the search spends anything.

    The test removes a random pattern, and the first and the last unit alone, because special
    layers are usually at the ends. If the pattern cannot be removed, but another one can, the
    search goes on: of its close patterns, it exports one that can.
    """
    faults: list[UnsupportedModelError] = []
    for _ in range(_PATTERNS):
        pattern = init_uniform(space, rng=rng).pattern
        try:
            check(dropped_units(pattern))
        except UnsupportedModelError as error:
            faults.append(error)
        else:
            break
    else:
        raise faults[0]
    if faults:
        progress.stage(f"some patterns cannot be exported: {faults[0]}")
    for edge in {space.droppable[0], space.droppable[-1]} & {0, len(space.units) - 1}:
        try:
            check([edge])
        except UnsupportedModelError as error:
            raise UnsupportedModelError(
                f"{error}; `protect` {edge} to search the others"
            ) from error
