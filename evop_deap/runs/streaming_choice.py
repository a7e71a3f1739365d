"""Whether the settings of a search let weights stay in their files."""

from __future__ import annotations

from evop_deap.base.errors import InputError
from evop_deap.heuristics.registry import ALL_CHEAP, METHODS
from evop_deap.settings.heuristic_names import SEARCH
from evop_deap.settings.search_config import SearchConfig


def where_weights(config: SearchConfig) -> str:
    """Return where to hold weights: `weights`, but "resident" for "auto" if all are needed.

    Raises:
        InputError: the weights are to be streamed, but a setting needs them all in memory.
    """
    needs = _needs_all(config)
    if needs is None:
        return config.weights
    if config.weights == "streamed":
        raise InputError(f"`weights` streamed reads one block at a time, but {needs}")
    return "resident"


def _needs_all(config: SearchConfig) -> str | None:
    """Return the setting that needs all weights in memory and what would do; None without one."""
    if config.fitness not in ("ce", "kl"):
        return f"`fitness` {config.fitness} needs more than that: choose ce or kl"
    if config.pareto == "latency":
        return "`pareto` latency times the whole model: choose parameters"
    if config.method != SEARCH and METHODS[config.method].holds_model:
        return f"`method` {config.method} changes or differentiates all: choose another"
    inits = [name for name in config.init if name in METHODS and METHODS[name].holds_model]
    if config.method == SEARCH and config.init == (ALL_CHEAP,):
        inits = [name for name, method in METHODS.items() if method.cheap and method.holds_model]
    if config.method == SEARCH and inits:
        return f"`init` {inits[0]} differentiates all: name others, or balanced"
    return None
