"""What settings are measured on: a space of patterns, its losses, and what counts as good in it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.evolution.operators import init_distinct, init_uniform
from evop_deap.evolution.racing import windows_together
from evop_deap.fitness.landscape import Landscape, load_landscape
from evop_deap.fitness.protocol import Evaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.heuristics.task import UnitScores
from evop_deap.runs.listeners.progress import Progress
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import SearchSpace
from evop_deap.tuning.even_charge import evenly_charged

_SAMPLE = 16  # random patterns that tell what a typical loss is, where not all are known


@dataclass(frozen=True, eq=False)
class Problem:
    """A space to search, and the scale on which what is found there is measured.

    Attributes:
        name: for people, and the same in every process of a study.
        space: which patterns there are.
        evaluator: evaluates them. What it charges must not depend on what was asked before, or a
            later trial would get more for its budget than an earlier one.
        best: the loss that leaves nothing to regret.
        typical: the loss of a random pattern, which is a regret of 1.
        optimum_known: whether `best` is a pattern's loss, and not only a bound.
        together: windows that are computed together, and so race together.
        knows_dense: whether `evaluator` can evaluate the pattern that drops nothing.
        scores: of the model's units, by the name of a heuristic that a search may begin with.
    """

    name: str
    space: SearchSpace
    evaluator: Evaluator
    best: float
    typical: float
    optimum_known: bool
    together: int = 1
    knows_dense: bool = False
    scores: Mapping[str, UnitScores] = field(default_factory=dict)

    def regret(self, loss: float) -> float:
        """How far `loss` is from the best, in distances of a random pattern from it."""
        scale = self.typical - self.best
        return (loss - self.best) / scale if scale > 0 else float(loss > self.best)


def landscape_problem(path: Path, n_drop: int | None = None) -> Problem:
    """The space of a landscape file in which so many units are dropped; the most, if not said.

    Raises:
        InputError: the file is no landscape, or does not know all of that space.
    """
    landscape = load_landscape(path)
    spaces = {space.n_drop: space for space in known_spaces(landscape)}
    if not spaces:
        raise InputError(f"`landscape` {path} knows no space whole: there is no optimum to reach")
    if n_drop is not None and n_drop not in spaces:
        raise InputError(
            f"`drop` must be one of {', '.join(map(str, spaces))}, which `landscape` {path} "
            f"knows whole, but got {n_drop}"
        )
    space = spaces[max(spaces) if n_drop is None else n_drop]
    losses = landscape.losses[_rows(landscape, space)]
    finite = losses[np.isfinite(losses)]
    if not len(finite):
        raise InputError(f"`landscape` {path} has no finite loss with {space.n_drop} units dropped")
    return Problem(
        name=f"{landscape.fingerprint[:12]} without {space.n_drop}",
        space=space,
        evaluator=TabularEvaluator(landscape),
        best=float(finite.min()),
        typical=float(np.median(finite)),
        optimum_known=True,
        knows_dense=space.dense in landscape.rows,
        scores=scores_in(landscape),
    )


def scores_in(landscape: Landscape) -> dict[str, UnitScores]:
    """The scores that the file keeps, by the heuristic's name.

    Raises:
        InputError: it is not as the format says.
    """
    count = len(landscape.units)
    try:
        given = dict(landscape.about.get("looks", {})).items()
        scores = {
            name: UnitScores(_by_name(said["scores"], landscape), float(said["cost"]))
            for name, said in given
        }
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"`looks` of a landscape cannot be read: {error!r}") from error
    short = [name for name, known in scores.items() if not known.covers(landscape.units)]
    if short:
        raise InputError(f"`looks` of a landscape must score all {count} units, not as {short[0]}")
    return scores


def _by_name(scores: Any, landscape: Landscape) -> dict[str, float]:
    """Scores that are given by name, or in the order of the units."""
    if not isinstance(scores, Mapping):
        scores = {u.name: score for u, score in zip(landscape.units, scores, strict=True)}
    return {str(name): float(score) for name, score in scores.items()}


def known_spaces(landscape: Landscape) -> tuple[SearchSpace, ...]:
    """The spaces that are known whole, but for units that the file says always stay."""
    protected = frozenset(landscape.about.get("protected", ()))
    most = len(landscape.units) - len(protected)
    candidates = (SearchSpace(landscape.units, n, protected) for n in range(1, most))
    return tuple(s for s in candidates if int(_rows(landscape, s).sum()) == s.size)


def _rows(landscape: Landscape, space: SearchSpace) -> NDArray[np.bool_]:
    """(patterns,) which of the landscape's patterns lie in the space."""
    dropped = landscape.patterns == 0
    inside: NDArray[np.bool_] = dropped.sum(axis=1) == space.n_drop
    inside &= ~dropped[:, sorted(space.protected)].any(axis=1)
    return inside


@contextmanager
def model_problem(config: SearchConfig, progress: Progress) -> Iterator[Problem]:
    """The search that `config` describes, on its model; all trials share what was paid for.

    The optimum is not known: the dense model's loss stands for it, which orders what is found
    just as well. A typical loss is the median of a few patterns drawn with the seed.

    Raises:
        EvopError: the model, the corpus or the budget cannot be used.
    """
    from evop_deap.heuristics.scores import scores_of
    from evop_deap.heuristics.task import ModelParts, Task
    from evop_deap.runs.search_evaluator import open_evaluator
    from evop_deap.runs.stages.prepare import prepare

    # Windows are computed together as races want them, since some trials race.
    prepared = prepare(config.replace(racing="on"), progress)
    with open_evaluator(prepared, None, progress) as opened:
        space = prepared.space
        rng = random.Random(config.seed)
        sample = init_distinct(lambda: init_uniform(space, rng=rng), _SAMPLE)
        evaluator = evenly_charged(
            opened.cached,
            work=[unit.work for unit in space.units],
            head_work=prepared.anatomy.head_work,
            release=opened.release,
        )
        parts = ModelParts(
            prepared.loaded.model, prepared.anatomy, prepared.text.calibration.tokens
        )
        typical = evaluator.evaluate([genome.pattern for genome in sample]).losses
        yield Problem(
            name=f"{prepared.fingerprint[:12]} on {prepared.text.calibration.fingerprint[:12]} "
            f"without {space.n_drop}",
            space=space,
            evaluator=evaluator,
            best=opened.dense_loss,
            typical=float(np.median(typical)),
            optimum_known=False,
            together=windows_together(config.window),
            knows_dense=True,
            # Found once, and charged to every search.
            scores=scores_of(Task(space, opened.cached, rng, parts=parts)),
        )
