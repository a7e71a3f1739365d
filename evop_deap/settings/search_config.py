"""Everything that decides what a search finds, as one frozen value.

The command line, the configuration file and the library share it: names, defaults, help and
bounds stand here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from evop_deap.base.errors import InputError
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.fitnesses import FITNESSES
from evop_deap.heuristics.registry import METHODS
from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.settings.options import option
from evop_deap.settings.shares import read_shares

BUDGET = "what to drop"
FITNESS = "how patterns are judged"
METHOD = "how a pattern is found"
EVOLUTION = "evolution"
STOPPING = "when to stop (the first limit reached)"

DEFAULT = EvolutionSettings()
SEARCH, BALANCED, HEURISTICS = "search", "balanced", "heuristics"


@dataclass(frozen=True, kw_only=True)
class SearchConfig(CalibrationConfig):
    """The settings of a search; see each field's help in `python -m evop_deap.search --help`.

    Example:
        >>> config = SearchConfig(model="demo", sparsity=0.2)
        >>> config.window, config.replace(seed=3).seed
        (256, 3)

    Raises:
        InputError: a value of the wrong type or out of its bounds.
    """

    sparsity: float | None = option(
        None,
        BUDGET,
        "share of the units to drop, several with commas between for one run over all; or say it "
        "by budget",
        metavar="SHARE[,SHARE...]",
        read=read_shares,
        above=0,
        below=1,
    )
    budget: str | None = option(
        None,
        BUDGET,
        "what may go, KIND=AMOUNT with commas between: units, attn or mlp (halves) by count or "
        "share; parameters or kv (bytes of the key-value cache) by share",
        metavar="KIND=AMOUNT",
    )
    granularity: str = option(
        "block",
        BUDGET,
        "what may go: whole blocks, or the attention and the MLP half of a block apart",
        choices=("block", "half"),
    )
    repackable: bool = option(
        False,
        BUDGET,
        "drop halves only so that what stays makes whole layers, with no half left over",
    )
    pareto: str = option(
        "none",
        BUDGET,
        "parameters, or latency as measured, searches for the whole front of loss against it, up "
        "to the largest sparsity, by NSGA-II, in which 16 or more survive; the sparsities are the "
        "points that are exported",
        choices=("none", "parameters", "latency"),
    )
    protect: tuple[str, ...] = option(
        (), BUDGET, "units to keep: 0 5-7 -1 (the last) 3.attn", metavar="UNIT"
    )

    fitness: str = option(
        "ce",
        FITNESS,
        "ce, cross-entropy of the text (its exponential is perplexity), or kl, divergence from "
        "the dense model's predictions",
        choices=FITNESSES,
    )
    racing: str = option(
        DEFAULT.racing,
        FITNESS,
        "judge children on a part of the windows first, and in full only those that may survive; "
        "off is the exact search",
        choices=("on", "off"),
    )
    racing_rungs: int = option(
        DEFAULT.racing_rungs,
        FITNESS,
        "parts that a race sees the windows in, about",
        metavar="N",
        least=1,
    )
    racing_confidence: float = option(
        DEFAULT.racing_confidence,
        FITNESS,
        "how sure a race must be that a child does not survive",
        metavar="P",
        least=0.5,
        below=1,
    )
    memory_budget: int = option(
        512, FITNESS, "MiB of hidden states held while patterns are judged", metavar="MIB", least=1
    )
    cache: bool = option(
        True,
        FITNESS,
        "take losses that earlier searches kept in the user's cache, and keep new ones",
    )

    method: str = option(
        SEARCH,
        METHOD,
        f"{SEARCH}, evolution, or a rule to compare with it: {', '.join(METHODS)}; those of them "
        "that search heed --max-evaluations, --max-cost and --max-seconds",
        metavar="NAME",
    )
    init: tuple[str, ...] = option(
        ("block-influence", "relative-magnitude"),
        EVOLUTION,
        f"first patterns: {BALANCED}, every block dropped as often as any other, or before them "
        f"those that rules pick: {HEURISTICS}, all rules that cost a few passes, or some by name",
        metavar="NAME",
    )
    surrogate: str = option(
        DEFAULT.surrogate,
        EVOLUTION,
        "what chooses among many proposals those worth an evaluation: gp, a Gaussian process that "
        "knows interactions, linear, one that does not, or none, plain evolution",
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
        "new patterns evaluated a generation (λ)",
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
        "probability that a child of two is mutated too",
        metavar="P",
        least=0,
        most=1,
    )
    neighbour: float = option(
        DEFAULT.neighbour,
        EVOLUTION,
        "share of mutations that move a dropped block to a neighbour",
        metavar="P",
        least=0,
        most=1,
    )
    more_swaps: float = option(
        DEFAULT.more_swaps,
        EVOLUTION,
        "probability of each further swap of a mutation",
        metavar="P",
        least=0,
        below=1,
    )

    restart: int = option(
        DEFAULT.restart,
        EVOLUTION,
        "generations in a row without a better pattern after which all survivors but the best "
        "give way to new ones; 0 is never",
        metavar="N",
        least=0,
    )

    generations: int | None = option(
        60, STOPPING, "generations after the first population", metavar="N", least=0
    )
    max_evaluations: int | None = option(None, STOPPING, "patterns evaluated", metavar="N", least=1)
    max_cost: float | None = option(
        None,
        STOPPING,
        "work, in dense forward passes over the calibration set",
        metavar="COST",
        above=0,
    )
    max_seconds: float | None = option(None, STOPPING, "time spent searching", metavar="S", above=0)
    patience: int | None = option(
        None, STOPPING, "generations in a row without a better pattern", metavar="N", least=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.sparsity is None) == (self.budget is None):
            given = "neither" if self.budget is None else "both"
            raise InputError(
                f"`sparsity` or `budget` must say what is to go, but got {given}: "
                "--sparsity 0.2 drops a fifth of the units, --budget parameters=0.2 as many as "
                "hold a fifth of their parameters"
            )
        if self.repackable and (self.granularity != "half" or self.budget is not None):
            raise InputError("`repackable` needs --granularity half, and a budget by --sparsity")
        if self.pareto != "none" and (
            self.budget is not None or self.repackable or self.method != SEARCH
        ):
            raise InputError(
                "`pareto` needs its points by --sparsity, and goes with neither --budget, "
                "--repackable nor --method"
            )
        if self.method != SEARCH and self.method not in METHODS:
            raise InputError(
                f"`method` must be {SEARCH} or one of {', '.join(METHODS)}, but got '{self.method}'"
            )
        one_shot = [n for n, method in METHODS.items() if not (method.searches or method.merges)]
        words = {(BALANCED,), (HEURISTICS,)}
        if self.init not in words and not (self.init and set(self.init) <= set(one_shot)):
            raise InputError(
                f"`init` must be {BALANCED}, {HEURISTICS} or some of {', '.join(one_shot)}, "
                f"but got '{' '.join(self.init)}'"
            )
        if self.tournament > self.population:
            raise InputError(
                f"`tournament` must be at most `population` ({self.population}), "
                f"but got {self.tournament}"
            )

    @property
    def evolution(self) -> EvolutionSettings:
        """The settings of the evolution alone."""
        return EvolutionSettings.of(vars(self))

    @property
    def stopping(self) -> Stopping:
        """When the search ends."""
        return Stopping(
            generations=self.generations,
            evaluations=self.max_evaluations,
            cost=self.max_cost,
            seconds=self.max_seconds,
            patience=self.patience,
        )
