"""The heuristics by name, what each needs, and where it is; nothing heavy is imported."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError
from evop_deap.space.unit_names import GRANULARITIES, granularity_of

if TYPE_CHECKING:
    from evop_deap.heuristics.task import Pick, Task

BLOCK, HALF = "block", "half"


@dataclass(frozen=True)
class Method:
    """A rule that picks a pattern.

    Attributes:
        name: as `--method` takes it.
        module: of `evop_deap.heuristics`; its `pick(task)` is the rule.
        title: for people.
        needs_model: whether it looks into the model; the others need nothing but losses.
        granularities: what its units may be: "block", "half".
        cheap: whether it costs few enough passes to seed a search.
        searches: whether it goes on until a limit is reached.
        merges: whether blocks that stay take up those that go.
    """

    name: str
    module: str
    title: str
    needs_model: bool = False
    granularities: tuple[str, ...] = tuple(GRANULARITIES)
    cheap: bool = False
    searches: bool = False
    merges: bool = False

    def __call__(self, task: Task) -> Pick:
        """Pick a pattern.

        Raises:
            InputError: the rule is not defined for units of this kind, or for this budget, or
                there is no model to look into.
        """
        found = granularity_of(unit.name for unit in task.space.units)
        if found not in self.granularities:
            raise InputError(
                f"`method` {self.name} is defined for `granularity` "
                f"{' or '.join(self.granularities)}, but got {found}"
            )
        if (picked := task.recalled(self.name)) is not None:
            return picked
        home = importlib.import_module(f"evop_deap.heuristics.{self.module}")
        rule: Callable[[Task], Pick] = home.pick
        return rule(task)


_ALL = (
    Method("random", "uniform", "a uniform draw"),
    Method("random-best", "best_of_random", "the best of random draws", searches=True),
    Method("last", "last_blocks", "the last blocks but for the final one", cheap=True),
    Method("magnitude", "magnitude", "weight magnitude", needs_model=True, cheap=True),
    Method("taylor", "taylor", "first-order Taylor importance", needs_model=True, cheap=True),
    Method(
        "block-influence",
        "block_influence",
        "ShortGPT's block influence",
        needs_model=True,
        cheap=True,
    ),
    Method(
        "angular",
        "angular_distance",
        "the contiguous window of least angular distance",
        needs_model=True,
        granularities=(BLOCK,),
        cheap=True,
    ),
    Method(
        "relative-magnitude",
        "relative_magnitude",
        "relative magnitude",
        needs_model=True,
        cheap=True,
    ),
    Method("leave-one-out", "leave_one_out", "leave-one-out perplexity", cheap=True),
    Method("sleb", "sleb", "SLEB's greedy removal"),
    Method("blockpruner", "blockpruner", "BlockPruner's greedy removal", granularities=(HALF,)),
    Method(
        "llm-drop",
        "llm_drop",
        "LLM-Drop's cosine similarity of attention halves",
        needs_model=True,
        granularities=(HALF,),
        cheap=True,
    ),
    Method(
        "laco",
        "laco",
        "LaCo's layer collapse",
        needs_model=True,
        granularities=(BLOCK,),
        merges=True,
    ),
    Method("evopress", "evopress", "EvoPress", searches=True),
    Method("tpe", "optuna_tpe", "Optuna's TPE", searches=True),
    Method("nsga2", "optuna_nsga2", "Optuna's NSGA-II", searches=True),
    Method("cmaes", "optuna_cmaes", "Optuna's CMA-ES with margin", searches=True),
)

METHODS: dict[str, Method] = {method.name: method for method in _ALL}
"""Every heuristic by its name."""

SCORERS = ("block-influence", "relative-magnitude")
"""Heuristics whose scores of a model are kept for searches without it."""


def method_named(name: str) -> Method:
    """The heuristic of this name.

    Raises:
        InputError: there is none; the message lists them.
    """
    if name not in METHODS:
        raise InputError(f"`method` must be one of {', '.join(METHODS)}, but got '{name}'")
    return METHODS[name]
