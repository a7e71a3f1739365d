"""The benchmarks of ways to search: what they count, and that every way keeps its budget."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_landscapes import toy_landscape, write_toy_landscape

from benchmarks.search_curves import Metered, cost_to_reach
from benchmarks.search_methods import METHODS, TABULAR, trace
from evop_deap.fitness.cache import CachedEvaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.space import SearchSpace

KNOWN = toy_landscape(drops=(1, 2, 3))
SPACE = SearchSpace(KNOWN.units, 3)
OPTIMUM = min(KNOWN.losses[row] for pattern, row in KNOWN.rows.items() if pattern in SPACE)


@pytest.mark.parametrize("name", sorted(set(TABULAR) - {"gp-sampler"}))
def test_a_method_asks_for_as_many_patterns_as_it_may_and_for_none_outside_the_space(
    name: str,
) -> None:
    evaluator = CachedEvaluator(TabularEvaluator(KNOWN, missing=9.0))
    TABULAR[name](SPACE, evaluator, 30, 0)
    losses = trace(evaluator, SPACE)
    assert len(losses) == 30
    assert OPTIMUM <= min(losses) < math.inf
    outside = [p for p in evaluator.rows if p not in SPACE and p != SPACE.dense]
    assert not outside or name in ("seeded", "seeded greedily")
    assert losses.count(math.inf) == len(outside)


@pytest.mark.parametrize("name", ["evopress", "greedy", "plain, racing", "surrogate, racing"])
def test_methods_with_cheaper_looks_are_charged_for_them(name: str) -> None:
    metered = Metered(TabularEvaluator(KNOWN, missing=9.0), SPACE, KNOWN.head_work)
    METHODS[name](SPACE, metered, 40, 0)
    counts, costs, bests = zip(*metered.events, strict=True)
    assert list(counts) == sorted(counts)
    assert list(costs) == sorted(costs)
    assert list(bests) == sorted(bests, reverse=True)
    assert bests[-1] >= OPTIMUM


def test_work_is_counted_by_window_and_not_twice() -> None:
    metered = Metered(TabularEvaluator(KNOWN, missing=9.0), SPACE, KNOWN.head_work)
    patterns = [SPACE.pattern((0, 1, 2)), SPACE.pattern((0, 1, 3))]
    windows = len(KNOWN.tokens)
    once = walk_costs(patterns, [unit.work for unit in KNOWN.units], KNOWN.head_work).sum()
    metered.evaluate(patterns, [0])
    assert metered.events[-1] == (2, pytest.approx(once / windows), math.inf)
    metered.evaluate(patterns)
    assert metered.events[-1][1] == pytest.approx(once)
    metered.evaluate(patterns)
    assert len(metered.events) == 2


def test_the_work_to_reach_a_loss_is_that_of_the_first_event_at_it() -> None:
    run = {"events": [(1, 2.0, None), (3, 4.0, 5.0), (6, 8.0, 4.0)]}
    assert cost_to_reach(run, 5.0) == 4.0
    assert cost_to_reach(run, 4.5) == 8.0
    assert cost_to_reach(run, 3.0) == math.inf


def test_the_command_writes_hit_rates_and_regrets_by_share_of_the_space(tmp_path: Path) -> None:
    landscape = write_toy_landscape(tmp_path / "toy.npz")
    command = [
        sys.executable, "-m", "benchmarks.search_quality", "--landscape", str(landscape),
        "--methods", "random", "surrogate", "--seeds", "2", "--workers", "1",
        "--json", str(tmp_path / "out.json"),
    ]  # fmt: skip
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "surrogate" in printed
    (report,) = json.loads((tmp_path / "out.json").read_text())["reports"]
    for method in report["methods"].values():
        assert set(method["hit_rate"]) == set(method["regret"]) == {"0.02", "0.05", "0.1"}
        assert np.all(np.diff(method["curve"]["regret"]) <= 1e-12)
        for low, high in method["hit_interval"].values():
            assert 0 <= low <= high <= 1
