"""The losses of all patterns that drop N units, as ground truth for evaluating searches.

    python -m benchmarks.landscapes.make --drop 1 2 3 --corpus mixed.jsonl --output demo.blocks.npz

`--protect` excludes units. Losses are stored in the user's cache as they are computed, so an
interrupted run can be continued. `evop_deap.fitness.landscape` describes the format of the file.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common.record import circumstances
from evop_deap.base.errors import EvopError, InputError
from evop_deap.base.user_folders import LOSSES_FILE, cache_folder
from evop_deap.fitness.landscape import Landscape, save_landscape
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.shared_losses import HeldBackStore, sharing_evaluator
from evop_deap.fitness.protocol import Evaluator
from evop_deap.fitness.store import LossStore
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.heuristics.scores import scores_of
from evop_deap.heuristics.task import ModelParts, Task
from evop_deap.runs.listeners.progress import TerminalProgress
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.stages.prepare import prepare
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import Pattern, SearchSpace

CHUNK = 64  # patterns evaluated and stored at a time


def all_patterns(space: SearchSpace, drops: Sequence[int]) -> list[Pattern]:
    """The dense pattern and all that drop one of these numbers of units, in walk order."""
    chosen = (
        space.pattern(dropped)
        for count in {0, *drops}
        for dropped in itertools.combinations(space.droppable, count)
    )
    return sorted(chosen, reverse=True)


def evaluated(prepared: Prepared, patterns: Sequence[Pattern], name: str) -> Iterator[np.ndarray]:
    """(patterns, windows) sums; patterns are evaluated and stored in chunks."""
    with stored_evaluator(prepared, name) as (evaluator, release):
        for first in tqdm(range(0, len(patterns), CHUNK), file=sys.stderr, mininterval=20):
            yield evaluator.evaluate(patterns[first : first + CHUNK]).sums
            release()


@contextmanager
def stored_evaluator(
    prepared: Prepared, name: str
) -> Iterator[tuple[Evaluator, Callable[[], object]]]:
    """An evaluator on the prepared calibration windows, and a function that stores its losses."""
    tokens = prepared.text.calibration.tokens
    with LossStore(cache_folder() / LOSSES_FILE) as store:
        held_back = HeldBackStore(store)
        evaluator = sharing_evaluator(
            PopulationEvaluator(prepared.loaded.model, prepared.anatomy, tokens),
            held_back,
            model=prepared.loaded.model,
            name=name,
            fingerprint=prepared.fingerprint,
            tokens=tokens,
        )
        yield evaluator, held_back.release


def scores_into(prepared: Prepared) -> dict[str, dict[str, Any]]:
    """The scores of the heuristics that can seed a search, as plain JSON values."""
    parts = ModelParts(prepared.loaded.model, prepared.anatomy, prepared.text.calibration.tokens)
    # None of them evaluates a pattern or draws random numbers.
    task = Task(prepared.space, TabularEvaluator({}), random.Random(0), parts=parts)
    return {name: dataclasses.asdict(scores) for name, scores in scores_of(task).items()}


def landscape_of(config: SearchConfig, drops: Sequence[int]) -> Landscape:
    """Evaluate every pattern that drops one of `drops` units.

    Raises:
        EvopError: so many cannot be dropped, or the model or the corpus cannot be used.
    """
    if min(drops) < 1:
        raise InputError(f"`drop` must be at least 1, but got {min(drops)}")
    prepared = prepare(config, TerminalProgress())
    if max(drops) > len(prepared.space.droppable):
        raise InputError(
            f"`drop` must be at most {len(prepared.space.droppable)}, the units that may go, "
            f"but got {max(drops)}"
        )
    patterns = all_patterns(prepared.space, drops)
    sums = np.concatenate(list(evaluated(prepared, patterns, config.model)))
    windows = prepared.text.calibration
    count, length = windows.tokens.shape
    return Landscape(
        units=prepared.space.units,
        patterns=np.array(patterns, dtype=np.uint8),
        sums=sums,
        tokens=np.full(count, length - 1, dtype=np.int64),
        head_work=prepared.anatomy.head_work,
        about={
            "model": config.model,
            "model_fingerprint": prepared.fingerprint,
            "corpus": prepared.corpus,
            "windows": windows.fingerprint,
            "window": length,
            "dtype": str(prepared.loaded.model.dtype).removeprefix("torch."),
            "seed": config.seed,
            "granularity": config.granularity,
            "drops": sorted(set(drops)),
            "protected": sorted(prepared.space.protected),
            "looks": scores_into(prepared),
            **circumstances(),
        },
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, evaluate and write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--corpus", default="demo")
    parser.add_argument("--drop", type=int, nargs="+", required=True, help="units dropped")
    parser.add_argument("--granularity", choices=("block", "half"), default="block")
    parser.add_argument("--protect", nargs="+", default=[], help="units that always stay: 0-7")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        config = SearchConfig(
            compensate="off",
            model=given.model,
            corpus=given.corpus,
            sparsity=(0.1,),
            granularity=given.granularity,
            protect=tuple(given.protect),
            dtype=given.dtype,
            window=given.window,
            tokens=given.tokens,
            heldout_tokens=given.window,
            seed=given.seed,
        )
        landscape = landscape_of(config, given.drop)
        save_landscape(given.output, landscape)
    except EvopError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return error.exit_code
    size = given.output.stat().st_size
    print(f"{len(landscape.patterns)} patterns, {size / 1000:.0f} kB, {landscape.fingerprint[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
