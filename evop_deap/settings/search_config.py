"""The settings of a search, as a frozen dataclass.

The command line, the configuration file and the library share them. Names, defaults, help and
bounds are defined only here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.heuristics.registry import ALL_CHEAP, METHODS
from evop_deap.recovery.compensation.form_names import AUTO, CHOICES
from evop_deap.settings.budget_checks import check_budget
from evop_deap.settings.calibration_config import COMPENSATION
from evop_deap.settings.fitness_checks import check_fitness_settings
from evop_deap.settings.heuristic_names import BALANCED, SEARCH, check_heuristics
from evop_deap.settings.options import option
from evop_deap.settings.shares import as_written, in_order, read_shares
from evop_deap.settings.stopping_config import StoppingConfig
from evop_deap.settings.weights_config import WeightsConfig
from evop_deap.settings.workers_config import WorkersConfig, check_asynchronous
from evop_deap.space.unit_names import GRANULARITIES

BUDGET = "what to drop"
FITNESS = "how patterns are evaluated"
METHOD = "how a pattern is found"
EVOLUTION = "evolution"

DEFAULT = EvolutionSettings()


@dataclass(frozen=True, kw_only=True)
class SearchConfig(StoppingConfig, WorkersConfig, WeightsConfig):
    """The settings of a search; see each field's help in `python -m evop_deap.search --help`.

    Example:
        >>> config = SearchConfig(model="demo", sparsity=0.2)
        >>> config.window, config.sparsity, config.replace(seed=3).seed
        (256, (0.2,), 3)

    Raises:
        InputError: a value has the wrong type or is out of bounds.
    """

    sparsity: tuple[float, ...] = option(
        (),
        BUDGET,
        "share of the units to drop, or several shares separated by commas, which one run "
        "searches; required unless --budget is given",
        metavar="SHARE[,SHARE...]",
        read=read_shares,
        above=0,
        below=1,
    )
    budget: str | None = option(
        None,
        BUDGET,
        "what to drop, as KIND=AMOUNT, separated by commas: units, attn or mlp (halves) by count "
        "or share; parameters or kv (bytes of the key-value cache) by share",
        metavar="KIND=AMOUNT",
    )
    granularity: str = option(
        "block",
        BUDGET,
        "unit that is dropped: a whole block, or a half of one (its attention or its MLP sublayer)",
        choices=tuple(GRANULARITIES),
    )
    repackable: bool = option(
        False,
        BUDGET,
        "drop halves only in combinations that leave whole layers, with no half left over",
    )
    pareto: str = option(
        "none",
        BUDGET,
        "search for the Pareto front of loss against parameters or measured latency, by NSGA-II "
        "with 16 or more survivors; the front ends at the largest --sparsity, and the pattern at "
        "each --sparsity is exported",
        choices=("none", "parameters", "latency"),
    )
    protect: tuple[str, ...] = option(
        (), BUDGET, "units that must stay: 0 5-7 -1 (the last) 3.attn", metavar="UNIT"
    )

    fitness: str = option(
        "ce",
        FITNESS,
        "loss to minimise: ce, cross-entropy of the text (its exponential is perplexity), kl, "
        "divergence from the dense model's predictions, or answers, cross-entropy over the options "
        "of --questions; or a sum such as ce+0.5*answers",
        metavar="NAME",
    )
    questions: tuple[str, ...] = option(
        (),
        FITNESS,
        "multiple-choice questions for --fitness answers: JSON lines in the fields of "
        "lm-evaluation-harness, named after the task, such as arc_easy.dev.jsonl; --tokens limits "
        "how many are searched on",
        metavar="FILE",
    )
    racing: str = option(
        DEFAULT.racing,
        FITNESS,
        "evaluate a child on a part of the windows first, and on all of them only if it can still "
        "survive; off evaluates every child on all windows",
        choices=("on", "off"),
    )
    racing_rungs: int = option(
        DEFAULT.racing_rungs,
        FITNESS,
        "approximate number of steps of a race, each with more windows",
        metavar="N",
        least=1,
    )
    racing_confidence: float = option(
        DEFAULT.racing_confidence,
        FITNESS,
        "confidence at which a race eliminates a child",
        metavar="P",
        least=0.5,
        below=1,
    )
    memory_budget: int = option(
        512, FITNESS, "MiB of hidden states held during evaluation", metavar="MIB", least=1
    )
    cache: bool = option(
        True,
        FITNESS,
        "reuse losses, rehearsals, clusters and scores that earlier searches stored in the user's "
        "cache, and store new ones",
    )

    method: str = option(
        SEARCH,
        METHOD,
        f"{SEARCH} (evolution), or a heuristic to compare with: {', '.join(METHODS)}; heuristics "
        "that search stop at --max-evaluations, --max-cost and --max-seconds",
        metavar="NAME",
    )
    init: tuple[str, ...] = option(
        ("block-influence", "relative-magnitude"),
        EVOLUTION,
        f"first patterns: {BALANCED} (random, every block dropped equally often), {ALL_CHEAP} (the "
        "picks of all that cost few passes) or heuristics by name; then balanced ones",
        metavar="NAME",
    )
    surrogate: str = option(
        DEFAULT.surrogate,
        EVOLUTION,
        "model of the losses that selects which proposals are evaluated: gp (a Gaussian process "
        "with interactions between units), linear (without interactions) or none (plain evolution)",
        choices=("gp", "linear", "none"),
    )
    population: int = option(
        DEFAULT.population,
        EVOLUTION,
        "patterns that survive a generation (μ)",
        metavar="N",
        least=1,
    )
    offspring: int = option(
        DEFAULT.offspring,
        EVOLUTION,
        "new patterns of a generation (λ); they share the reading of streamed weights: inspect "
        "--measure says from how many on reading takes less than half of the time",
        metavar="N",
        least=1,
    )
    tournament: int = option(
        DEFAULT.tournament, EVOLUTION, "patterns that compete to be a parent", metavar="N", least=1
    )
    crossover: float = option(
        DEFAULT.crossover,
        EVOLUTION,
        "probability that a child has two parents",
        metavar="P",
        least=0,
        most=1,
    )
    mutation: float = option(
        DEFAULT.mutation,
        EVOLUTION,
        "probability that a child of two parents is mutated as well",
        metavar="P",
        least=0,
        most=1,
    )
    neighbour: float = option(
        DEFAULT.neighbour,
        EVOLUTION,
        "share of mutations that move a drop from one block to its neighbour",
        metavar="P",
        least=0,
        most=1,
    )
    more_swaps: float = option(
        DEFAULT.more_swaps,
        EVOLUTION,
        "probability of each further swap in a mutation",
        metavar="P",
        least=0,
        below=1,
    )

    restart: int = option(
        DEFAULT.restart,
        EVOLUTION,
        "redraw all survivors but the best after N generations in a row without a better pattern; "
        "0 is never",
        metavar="N",
        least=0,
    )

    compensate: str = option(
        AUTO,
        COMPENSATION,
        "form of compensation for dropped units: full solves the matrix before each cut anew, map "
        "solves a map of its outputs, scale solves one factor, auto takes the best of them",
        choices=CHOICES,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sparsity", in_order(self.sparsity))
        check_budget(vars(self))
        check_heuristics(self.method, self.init, self.granularity)
        check_asynchronous(self.asynchronous, self.pareto, self.method)
        check_fitness_settings(self.fitness, self.questions, self.weighting, self.method)
        if self.tournament > self.population:
            raise InputError(
                f"`tournament` must be at most `population` ({self.population}), "
                f"but got {self.tournament}"
            )

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON and YAML values; a single share is a number, not a list."""
        return {**super().as_dict(), "sparsity": as_written(self.sparsity)}

    @property
    def several(self) -> bool:
        """Whether a run has several budgets, each with a folder of its own."""
        return len(self.sparsity) > 1 or self.pareto != "none"

    @property
    def each_budget(self) -> tuple[SearchConfig, ...]:
        """These settings for each budget alone, the smallest budget first."""
        if len(self.sparsity) < 2:
            return (self,)
        return tuple(self.replace(sparsity=share) for share in self.sparsity)

    @property
    def share(self) -> float:
        """The share of the units to drop, in settings for a single budget.

        Raises:
            InputError: there is no share, or there are several.
        """
        if len(self.sparsity) != 1:
            raise InputError(f"`sparsity` must be one share here, but got {self.sparsity}")
        return self.sparsity[0]

    @property
    def evolution(self) -> EvolutionSettings:
        """The settings of the evolution."""
        return EvolutionSettings.of(vars(self))
