"""What is searched: a loaded model, its parts, the space over them, and the text to judge by."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evop_deap.space.budget import parse_budget
from evop_deap.settings.search_config import SearchConfig
from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.evolution.operators import init_uniform
from evop_deap.runs.draw_calibration import check_text, make_calibration
from evop_deap.runs.open_model import open_model
from evop_deap.runs.listeners.progress import Progress
from evop_deap.space import SearchSpace, Unit, dropped_units, units_named, units_to_drop

if TYPE_CHECKING:
    from evop_deap.calibration import CalibrationSet
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel


@dataclass(frozen=True, eq=False)
class Subject:
    """Everything a search needs, loaded and checked.

    Attributes:
        loaded: the model and its tokenizer.
        anatomy: where its blocks are.
        space: which patterns there are.
        fingerprint: the model's identity by content.
        corpus: name of the corpus.
        text: windows to search on and windows to report on.
    """

    loaded: LoadedModel
    anatomy: Anatomy
    space: SearchSpace
    fingerprint: str
    corpus: str
    text: CalibrationSet


def prepare(config: SearchConfig, progress: Progress) -> Subject:
    """Load and check everything, writing nothing.

    Raises:
        EvopError: the model, the corpus or the budget cannot be used.
    """
    (subject,) = prepare_all([config], progress)
    return subject


def prepare_all(configs: Sequence[SearchConfig], progress: Progress) -> list[Subject]:
    """The same for settings that differ in what is to go and in nothing else: all is loaded once.

    Where text is chosen by what pruning does to it, the last of the settings says what goes.

    Raises:
        EvopError: the model, the corpus or a budget cannot be used, or two drop as many units.
    """
    from evop_deap.models.loading.fingerprint import fingerprint_model
    from evop_deap.models.anatomy.kv_cache import kv_cache_bytes
    from evop_deap.models.surgery.packed_layers import pairs_that_repack
    from evop_deap.models.anatomy.model_units import model_units
    from evop_deap.runs.window_responses import responder

    config = configs[-1]
    check_text(config)
    loaded, anatomy = open_model(config, progress, config.granularity)
    held = (
        kv_cache_bytes(loaded.model, anatomy, loaded.context)
        if "kv" in (config.budget or "")
        else ()
    )
    units = model_units(anatomy, held)
    pairs = pairs_that_repack(loaded.model, anatomy) if config.repackable else ()
    spaces = [space_of(one, units, pairs) for one in configs]
    _check_different(configs, spaces)
    space = spaces[-1]
    _rehearse(loaded, anatomy, space, random.Random(config.seed))
    text = make_calibration(
        config,
        loaded.tokenizer,
        context=loaded.context,
        model=lambda: (loaded, anatomy),
        respond=lambda: responder(
            loaded, anatomy, space, seed=config.seed, fitness=config.fitness, progress=progress
        ),
        progress=progress,
    )
    name, fingerprint = text.manifest["corpus"]["name"], fingerprint_model(loaded.model)
    return [Subject(loaded, anatomy, space, fingerprint, name, text) for space in spaces]


def space_of(
    config: SearchConfig, units: tuple[Unit, ...], pairs: Collection[int] = ()
) -> SearchSpace:
    """The patterns that meet the budget of `config`.

    Args:
        config: the settings.
        units: of the model.
        pairs: halves that leave whole layers when they go with the one behind them.

    Raises:
        InputError: the budget or what is protected does not fit the units.
    """
    protected = units_named(units, config.protect)
    if config.budget is None:
        assert config.sparsity is not None
        count = units_to_drop(len(units), config.sparsity)
        if not config.repackable:
            return SearchSpace(units, count, protected)
        free = {unit for unit in pairs if not {unit, unit + 1} & protected}
        if count < 2:
            raise InputError(
                f"`repackable` drops halves in pairs, but `sparsity` {config.sparsity} rounds to "
                f"one of {len(units)} units: at least {1.5 / len(units):.3f}"
            )
        # As closely below as pairs allow.
        return SearchSpace(units, count - count % 2, protected, pairs=frozenset(free))
    return SearchSpace.within(units, parse_budget(config.budget, units), protected)


def _check_different(configs: Sequence[SearchConfig], spaces: Sequence[SearchSpace]) -> None:
    for one, other in itertools.pairwise(range(len(spaces))):
        if spaces[one].n_drop == spaces[other].n_drop:
            raise InputError(
                f"`sparsity` {configs[one].sparsity} and {configs[other].sparsity} both drop "
                f"{spaces[one].n_drop} of {len(spaces[one].units)} units: leave one out"
            )


def _rehearse(
    loaded: LoadedModel, anatomy: Anatomy, space: SearchSpace, rng: random.Random
) -> None:
    """Show what cannot be removed before a search is paid for.

    One pattern stands for all, and the first and last block are tried alone: what is special
    in a model is special there.
    """
    from evop_deap.models.surgery.rehearsal import check_removable

    check_removable(loaded.model, anatomy, dropped_units(init_uniform(space, rng=rng).pattern))
    for edge in {space.droppable[0], space.droppable[-1]} & {0, len(space.units) - 1}:
        try:
            check_removable(loaded.model, anatomy, [edge])
        except UnsupportedModelError as error:
            raise UnsupportedModelError(
                f"{error}; `protect` {edge} to search the others"
            ) from error
