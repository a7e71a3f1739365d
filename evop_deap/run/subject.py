"""What is searched: a loaded model, its parts, the space over them, and the text to judge by."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evop_deap.config import SearchConfig
from evop_deap.errors import UnsupportedModelError
from evop_deap.run.calibrating import make_calibration
from evop_deap.run.opening import open_model
from evop_deap.run.progress import Progress
from evop_deap.space import SearchSpace, units_named, units_to_drop

if TYPE_CHECKING:
    from evop_deap.calibration import CalibrationSet
    from evop_deap.models.anatomy import Anatomy
    from evop_deap.models.loading import LoadedModel


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
    from evop_deap.models.fingerprint import fingerprint_model
    from evop_deap.models.units import model_units
    from evop_deap.run.probing import responder

    loaded, anatomy = open_model(config, progress, config.granularity)
    units = model_units(anatomy)
    space = SearchSpace(
        units, units_to_drop(len(units), config.sparsity), units_named(units, config.protect)
    )
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
    name = text.manifest["corpus"]["name"]
    return Subject(loaded, anatomy, space, fingerprint_model(loaded.model), name, text)


def _rehearse(
    loaded: LoadedModel, anatomy: Anatomy, space: SearchSpace, rng: random.Random
) -> None:
    """Show what cannot be removed before a search is paid for.

    One pattern stands for all, and the first and last block are tried alone: what is special
    in a model is special there.
    """
    from evop_deap.models.surgery import check_removable

    check_removable(loaded.model, anatomy, rng.sample(space.droppable, space.n_drop))
    for edge in {space.droppable[0], space.droppable[-1]} & {0, len(space.units) - 1}:
        try:
            check_removable(loaded.model, anatomy, [edge])
        except UnsupportedModelError as error:
            raise UnsupportedModelError(
                f"{error}; `protect` {edge} to search the others"
            ) from error
