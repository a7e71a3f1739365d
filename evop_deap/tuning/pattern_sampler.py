"""The search as an Optuna sampler of subsets with a fixed size.

A trial suggests a 0 or 1 for each unit, 1 = keep, and exactly `n_drop` of them are 0. New patterns
are bred from the best completed trials with the operators of `evop_deap`. No pattern is proposed
twice while there is a new one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from evop_deap.base.errors import InputError
from evop_deap.base.numbers import finite_or_worst
from evop_deap.base.user_text import shown
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.proposals import propose
from evop_deap.evolution.survival import Survival
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.space import Pattern, SearchSpace, Unit

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial


class PatternSampler(BaseSampler):
    """Evolution of fixed-size subsets; all its state is in the study.

    Each trial breeds from all trials completed so far, so workers do not wait for each other, and
    a study resumes where it stopped. With `HyperbandPruner`, these are the trials of all brackets.
    Trials that violate a constraint rank behind the others, by their total violation. Trials from
    `enqueue_trial` and `add_trial` are used as well. If `enqueue_trial` fixes a part of the
    pattern, the rest is chosen to keep the size of the subset. `PartialFixedSampler` cannot be
    combined with it, because it hides which parameters it fixes.

    Args:
        names: 0/1 parameters of the pattern: `trial.suggest_int(name, 0, 1)`.
        n_drop: how many of them are 0.
        population: number of best trials that breed; until there are as many, patterns are random.
        crossover: probability that a child has two parents.
        mutation: probability that such a child is mutated; a child of one parent always is.
        tournament: trials that compete to be a parent.
        neighbour: share of mutations that move a 0 to a neighbour in the order of `names`.
        more_swaps: probability of each further swap in the other mutations.
        seed: seed of all randomness.
        other: sampler of parameters that are not in `names`; random by default.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> names = [f"unit {i}" for i in range(8)]
        >>> def objective(trial):
        ...     keep = suggest_pattern(trial, names)
        ...     return sum(i for i, kept in enumerate(keep) if not kept)
        >>> study = optuna.create_study(sampler=PatternSampler(names, n_drop=3, seed=0))
        >>> study.optimize(objective, n_trials=50)
        >>> study.best_value, sum(study.best_params.values())
        (3.0, 5)

    Raises:
        InputError: `names` has fewer than two, or one twice, or `n_drop` is no whole number that
            leaves something to choose.
        ValueError: when used in a study of several objectives.
    """

    def __init__(
        self,
        names: Sequence[str],
        n_drop: int,
        *,
        population: int = EvolutionSettings.population,
        crossover: float = EvolutionSettings.crossover,
        mutation: float = EvolutionSettings.mutation,
        tournament: int = EvolutionSettings.tournament,
        neighbour: float = EvolutionSettings.neighbour,
        more_swaps: float = EvolutionSettings.more_swaps,
        seed: int | None = None,
        other: BaseSampler | None = None,
    ) -> None:
        self._names = _checked(names, n_drop)
        self._space = SearchSpace(tuple(Unit(name, 1, 1) for name in self._names), n_drop)
        self._settings = EvolutionSettings(
            population=population, crossover=crossover, mutation=mutation
        )
        self._rng = random.Random(seed)
        self._other = other or RandomSampler(seed=seed)
        self._toolbox = make_toolbox(
            self._space,
            TabularEvaluator({}),  # never called: the study evaluates trials
            self._rng,
            tournament=tournament,
            neighbour=neighbour,
            more_swaps=more_swaps,
        )

    def reseed_rng(self) -> None:
        """Reseed the random generators, so that workers draw different patterns."""
        self._rng.seed()
        self._other.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the 0/1 parameters and the other sampler's relative search space."""
        others = self._other.infer_relative_search_space(study, trial)
        return {**others, **{name: IntDistribution(0, 1) for name in self._names}}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a new pattern, and the other sampler's values of the other parameters."""
        self._raise_error_if_multi_objective(study)
        pattern = dict(zip(self._names, self._next_pattern(study, trial), strict=True))
        rest = {name: kind for name, kind in search_space.items() if name not in pattern}
        chosen = self._other.sample_relative(study, trial, rest) if rest else {}
        for name in rest.keys() - chosen.keys():
            chosen[name] = self._other.sample_independent(study, trial, name, rest[name])
        return {**chosen, **{name: pattern[name] for name in self._names if name in search_space}}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the other sampler's value."""
        self._raise_error_if_multi_objective(study)
        return self._other.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Call the other sampler's hook."""
        self._other.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Call the other sampler's hook."""
        self._other.after_trial(study, trial, state, values)

    def _next_pattern(self, study: Study, trial: FrozenTrial) -> Pattern:
        trials = [t for t in _all_trials(study) if t.number != trial.number]
        seen = set(self._patterns(trials))
        known = self._ranked(trials, study.direction)
        population = Survival().survivors(known, self._settings.population)
        asked = _fixed(trial, self._names)
        fixed = {at: int(asked[n]) for at, n in enumerate(self._names) if n in asked}
        for _ in range(self._settings.attempts):
            (child,) = self._children(population, seen) or self._toolbox.population(n=1)
            pattern = _with_fixed(child.pattern, fixed, self._rng)
            if pattern not in seen:
                break
        return pattern

    def _children(self, population: Sequence[Genome], seen: set[Pattern]) -> list[Genome]:
        """Return one new child, or none if all found were seen.

        The child is random while there are fewer trials than the population.
        """
        if len(population) < min(self._settings.population, self._space.size):
            for _ in range(self._settings.attempts):
                (drawn,) = self._toolbox.population(n=1)
                if drawn.pattern not in seen:
                    return [drawn]
        if not population:
            return []
        return propose(population, seen, 1, self._toolbox, self._rng, self._settings)

    def _ranked(self, trials: Iterable[FrozenTrial], direction: StudyDirection) -> list[Genome]:
        """Return the distinct patterns with a value; the loss of each is its rank.

        Ranks are by total violation of the constraints, then by value, each from a pattern's first
        trial.
        """
        sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
        found: dict[Pattern, tuple[float, float]] = {}
        for trial in trials:
            for pattern in self._patterns([trial] if trial.state == TrialState.COMPLETE else []):
                if pattern in self._space and trial.value is not None:
                    found.setdefault(pattern, (_violation(trial), sign * trial.value))
        ranks = {key: rank for rank, key in enumerate(sorted(set(found.values())))}
        return [Genome(pattern, loss=ranks[key]) for pattern, key in found.items()]

    def _patterns(self, trials: Iterable[FrozenTrial]) -> list[Pattern]:
        """Return the complete patterns that these trials have evaluated or will evaluate."""
        known = (_fixed(trial, self._names) | trial.params for trial in trials)
        return [
            tuple(int(params[name]) for name in self._names)
            for params in known
            if all(params.get(name) in (0, 1) for name in self._names)
        ]


def suggest_pattern(trial: Trial, names: Iterable[str]) -> Pattern:
    """Return a 0 or 1 for each unit, 1 = keep, from a trial of a study with `PatternSampler`."""
    return tuple(trial.suggest_int(name, 0, 1) for name in names)


def _checked(names: Sequence[str], n_drop: int) -> tuple[str, ...]:
    """Return the names of the units, which must be different and leave something to choose."""
    if isinstance(names, str):
        raise InputError(f"`names` must be a list of names, but got {shown(names)}")
    known = tuple(names)
    repeated = [name for name, count in Counter(known).items() if count > 1]
    if repeated:
        raise InputError(
            f"`names` must be different, but got {shown(repeated[0])} "
            f"{known.count(repeated[0])} times: name each unit once"
        )
    if len(known) < 2:
        raise InputError(f"`names` must hold at least two units, but got {len(known)}")
    if type(n_drop) is not int:
        raise InputError(
            f"`n_drop` must be a whole number from 1 to {len(known) - 1}, but got {n_drop!r}"
        )
    return known


def _all_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials of a study, also where a pruner passes a view of some of them.

    `HyperbandPruner` passes the trials of a bracket, and only the storage has them all.
    """
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def _violation(trial: FrozenTrial) -> float:
    """Return the sum of the violated constraints, 0 for a feasible trial, as NSGA-II has it."""
    violated = (value for value in trial.constraints.values() if not value <= 0)
    return finite_or_worst(sum(violated))


def _fixed(trial: FrozenTrial, names: Sequence[str]) -> dict[str, Any]:
    """Return the parameters that `enqueue_trial` has fixed."""
    asked: Mapping[str, Any] = trial.system_attrs.get("fixed_params", {})
    return {name: asked[name] for name in names if name in asked}


def _with_fixed(pattern: Pattern, fixed: Mapping[int, int], rng: random.Random) -> Pattern:
    """Return the pattern with fixed genes set, and free genes changed to keep the counts.

    Where more genes are fixed to a value than the pattern has, the counts cannot be kept, and all
    free genes get the other value.
    """
    genes = [fixed.get(place, gene) for place, gene in enumerate(pattern)]
    for gene in (0, 1):
        free = [at for at, own in enumerate(genes) if own == gene and at not in fixed]
        surplus = genes.count(gene) - pattern.count(gene)
        for at in rng.sample(free, min(max(surplus, 0), len(free))):
            genes[at] = 1 - gene
    return tuple(genes)
