"""Problems to tune settings on: a space of patterns, its losses and the scale of regret."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.base.user_text import shown
from evop_deap.evolution.operators import init_distinct, init_uniform
from evop_deap.fitness.landscape import Landscape
from evop_deap.fitness.landscape_table import read_landscape
from evop_deap.fitness.plain_function import Losses, as_evaluator
from evop_deap.fitness.protocol import Evaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.heuristics.task import UnitScores
from evop_deap.runs.listeners.progress import Progress
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import SearchSpace

_SAMPLE = 16  # random patterns to estimate the typical loss, where not all losses are known


@dataclass(frozen=True, eq=False)
class Problem:
    """A space to search, and the scale of its regret.

    Attributes:
        name: readable name, equal in every process of a study.
        space: the patterns to search.
        evaluator: evaluates patterns: an evaluator, or a function that returns the loss of each of
            some patterns. Its cost must not depend on earlier requests, or later trials would get
            more for their budget; a pattern costs 1 with a function.
        begin: returns the evaluator of one search, where what a pattern costs depends on what the
            same search has asked for before; None takes `evaluator` for all.
        best: loss with a regret of 0.
        typical: loss with a regret of 1, that of a random pattern.
        optimum_known: whether `best` is the loss of a pattern, and not only a bound.
        together: windows that are computed together, and so race together.
        knows_dense: whether `evaluator` can evaluate the pattern that drops nothing.
        scores: scores of the units, by the heuristic's name, for the first patterns.
    """

    name: str
    space: SearchSpace
    evaluator: Evaluator | Losses
    best: float
    typical: float
    optimum_known: bool
    together: int = 1
    knows_dense: bool = False
    scores: Mapping[str, UnitScores] = field(default_factory=dict)
    begin: Callable[[], Evaluator] | None = None

    def __post_init__(self) -> None:
        for name, loss in (("best", self.best), ("typical", self.typical)):
            if not math.isfinite(loss):
                raise InputError(f"`{name}` must be finite, but got {loss}")
        if self.best > self.typical:
            raise InputError(
                f"`best` must be at most `typical`, {self.typical}, but got {self.best}: lower "
                "losses are better"
            )

    @property
    def fitness(self) -> Evaluator:
        """The evaluator, also where a function was given."""
        return as_evaluator(self.evaluator)

    def evaluator_of_search(self) -> Evaluator:
        """Return the evaluator of one search, which has asked for nothing yet."""
        return self.fitness if self.begin is None else self.begin()

    def regret(self, loss: float) -> float:
        """Return the regret of `loss`: 0 at `best`, 1 at `typical`."""
        scale = self.typical - self.best
        return (loss - self.best) / scale if scale > 0 else float(loss > self.best)


def landscape_problem(path: Path, n_drop: int | None = None) -> Problem:
    """Return the problem of dropping `n_drop` units in a landscape file; None takes the most.

    Raises:
        InputError: the file is no landscape, or does not hold all patterns of that space.
    """
    landscape = read_landscape(path)
    spaces = {space.n_drop: space for space in known_spaces(landscape)}
    if not spaces:
        raise InputError(f"`landscape` {path} holds no complete space, so the optimum is unknown")
    if n_drop is not None and n_drop not in spaces:
        raise InputError(
            f"`drop` must be one of {', '.join(map(str, spaces))}, the complete spaces of "
            f"`landscape` {path}, but got {n_drop}"
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
    """Return the scores in a landscape, by the heuristic's name.

    Raises:
        InputError: the scores do not have the format of landscapes.
    """
    count = len(landscape.units)
    try:
        given = dict(landscape.about.get("looks", {})).items()
        scores = {
            name: UnitScores(_by_name(said["scores"], landscape), float(said["cost"]))
            for name, said in given
        }
    except (ArithmeticError, AttributeError, TypeError, ValueError, KeyError) as error:
        raise InputError(f"`looks` of a landscape cannot be read: {shown(error)}") from error
    short = [name for name, known in scores.items() if not known.covers(landscape.units)]
    if short:
        raise InputError(
            f"`looks` of a landscape must score all {count} units, but {short[0]} does not"
        )
    return scores


def _by_name(scores: Any, landscape: Landscape) -> dict[str, float]:
    """Return scores by the unit's name; they may be given in the order of the units."""
    if not isinstance(scores, Mapping):
        scores = {u.name: score for u, score in zip(landscape.units, scores, strict=True)}
    return {str(name): float(score) for name, score in scores.items()}


def known_spaces(landscape: Landscape) -> tuple[SearchSpace, ...]:
    """Return the spaces that a landscape holds completely, without its protected units."""
    protected = _protected(landscape)
    most = len(landscape.units) - len(protected)
    candidates = (SearchSpace(landscape.units, n, protected) for n in range(1, most))
    return tuple(s for s in candidates if int(_rows(landscape, s).sum()) == s.size)


def _protected(landscape: Landscape) -> frozenset[int]:
    """Return the positions of the units that a landscape protects."""
    given, count = landscape.about.get("protected", ()), len(landscape.units)
    if not isinstance(given, list | tuple) or not all(
        type(unit) is int and 0 <= unit < count for unit in given
    ):
        raise InputError(
            f"`protected` of a landscape must list positions from 0 to {count - 1}, "
            f"but got {shown(given)}"
        )
    return frozenset(given)


def _rows(landscape: Landscape, space: SearchSpace) -> NDArray[np.bool_]:
    """Return a (patterns,) mask of the landscape's patterns in the space."""
    dropped = landscape.patterns == 0
    inside: NDArray[np.bool_] = dropped.sum(axis=1) == space.n_drop
    inside &= ~dropped[:, sorted(space.protected)].any(axis=1)
    return inside


@contextmanager
def model_problem(config: SearchConfig, progress: Progress) -> Iterator[Problem]:
    """Open the problem of the search that `config` describes; all trials share its losses.

    The optimum is unknown, and the dense model's loss takes its place, which keeps the order of
    patterns. The typical loss is the median of a few random patterns drawn with the seed.

    Raises:
        EvopError: the model, the corpus or the budget cannot be used.
    """
    from evop_deap.heuristics.scores import scores_of
    from evop_deap.heuristics.task import Task
    from evop_deap.runs.search_evaluator import open_evaluator
    from evop_deap.runs.stages.prepare import prepare
    from evop_deap.tuning.even_charge import searches_alone

    # Group windows as races need it, because some trials race.
    prepared = prepare(config.replace(racing="on"), progress)
    with open_evaluator(prepared, None, progress) as opened:
        space = prepared.space
        rng = random.Random(config.seed)
        sample = init_distinct(lambda: init_uniform(space, rng=rng), _SAMPLE)
        losses = opened.cached.evaluate([genome.pattern for genome in sample]).losses
        opened.release()
        finite = losses[np.isfinite(losses)]
        if not len(finite):
            raise InputError(
                f"`model` {config.model}: no random pattern that drops {space.n_drop} units has a "
                "finite loss: take a smaller `sparsity`, or `dtype` float32"
            )
        yield Problem(
            name=f"{prepared.fingerprint[:12]} on {prepared.searched.calibration.fingerprint[:12]} "
            f"without {space.n_drop}",
            space=space,
            evaluator=opened.cached,
            begin=searches_alone(prepared, opened),
            best=min(opened.dense_loss, *finite.tolist()),
            typical=float(np.median(finite)),
            optimum_known=False,
            together=prepared.together,
            knows_dense=True,
            # Computed once, and charged to every search.
            scores=scores_of(Task(space, opened.cached, rng, parts=prepared.model_parts)),
        )
