"""The benchmarks of ways to search: what they count, and that every way keeps its budget."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_landscapes import toy_landscape, write_toy_landscape

from benchmarks.common.claim import measured_at
from benchmarks.search import quality
from benchmarks.search.curve_reports import best_at, cost_to_reach
from benchmarks.search.curves import Metered
from benchmarks.search.methods import METHODS, TABULAR, trace
from benchmarks.search.quality import FoundError, UntilFound, best_so_far
from benchmarks.search.quality_tables import hits_at, table_at, tables
from benchmarks.search.seeding import beginning, figures, search, summary
from benchmarks.search.stagnation import KINDS, rugged
from evop_deap.base.errors import InputError
from evop_deap.evolution.operators import init_uniform
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.heuristics.registry import SCORERS
from evop_deap.heuristics.task import Task, UnitScores
from evop_deap.space import SearchSpace
from evop_deap.tuning.problems import landscape_problem

KNOWN = toy_landscape(drops=(1, 2, 3))
SPACE = SearchSpace(KNOWN.units, 3)
OPTIMUM = min(KNOWN.losses[row] for pattern, row in KNOWN.rows.items() if pattern in SPACE)


def task(evaluator: CachedEvaluator, evaluations: int) -> Task:
    scores = dict.fromkeys(SCORERS, UnitScores({str(i): float(i) for i in range(9)}, 1.0))
    limit = Stopping(evaluations=evaluations)
    return Task(SPACE, evaluator, random.Random(0), limit, scores=scores)


@pytest.mark.parametrize("name", sorted(set(TABULAR) - {"gp-sampler"}))
def test_a_method_asks_for_as_many_patterns_as_it_may_and_for_none_outside_the_space(
    name: str,
) -> None:
    evaluator = CachedEvaluator(TabularEvaluator(KNOWN, missing=9.0))
    TABULAR[name](task(evaluator, 30))
    losses = trace(evaluator, SPACE)
    assert len(losses) == 30
    assert OPTIMUM <= min(losses) < math.inf
    outside = [p for p in evaluator.rows if p not in SPACE and p != SPACE.dense]
    assert not outside or name.startswith("seeded by")
    assert losses.count(math.inf) == len(outside)


@pytest.mark.parametrize("name", ["evopress", "greedy", "plain, racing", "surrogate, racing"])
def test_methods_with_cheaper_looks_are_charged_for_them(name: str) -> None:
    metered = Metered(TabularEvaluator(KNOWN, missing=9.0), SPACE, KNOWN.head_work)
    METHODS[name](task(metered, 40))
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
    assert [best_at(run, cost) for cost in (2.0, 4.0, 7.9, 8.0)] == [math.inf, 5.0, 5.0, 4.0]


def test_seeded_searches_are_charged_for_what_their_rules_have_judged(tmp_path: Path) -> None:
    problem = landscape_problem(write_toy_landscape(tmp_path / "toy.npz", drops=(0, 1, 3)))
    for init, beside in (("balanced", 0), ("leave-one-out", 9), ("last", 0)):
        begun = beginning(problem, None, init)  # type: ignore[arg-type]  # no rule looks at a model
        state = search(problem, begun, seed=0, evaluations=84 + beside)
        assert state.other_evaluations == beside
        found = figures(problem, state)
        assert beside < found["evaluations"] <= state.evaluations
        assert found["cost"] == state.cost >= begun[0].cost
        assert found["regret"]["77"] <= found["regret"]["31"]
    unlucky = {"evaluations": None, "cost": None, "regret": found["regret"]}
    assert summary([unlucky], 84)["hit_rate"]["77"] == 0
    assert summary([unlucky], 84)["evaluations"] == 84


def test_the_command_writes_hit_rates_and_regrets_and_makes_only_what_is_missing(
    tmp_path: Path,
) -> None:
    landscape, kept = write_toy_landscape(tmp_path / "toy.npz"), tmp_path / "out.json"

    def run(*methods: str, seeds: int = 2) -> tuple[str, dict[str, Any]]:
        command = [
            sys.executable, "-m", "benchmarks.search.quality", "--landscape", str(landscape),
            "--methods", *methods, "--seeds", str(seeds), "--workers", "1", "--json", str(kept),
        ]  # fmt: skip
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        (report,) = json.loads(kept.read_text())["reports"]
        assert table_at(0.05, [report]) in done.stdout
        return done.stderr, report["methods"]

    told, first = run("random", "surrogate")
    assert told == "toy.npz: random\ntoy.npz: surrogate\n"
    for method in first.values():
        assert set(method["hit_rate"]) == set(method["regret"]) == {"0.02", "0.05", "0.1"}
        assert np.all(np.diff(method["curve"]["regret"]) <= 1e-12)
        for low, high in method["hit_interval"].values():
            assert 0 <= low <= high <= 1
    told, more = run("random", "surrogate", "plain")
    assert told == "toy.npz: plain\n"
    assert first.items() <= more.items()
    assert all(one["versions"] and one["date"] and "commit" in one for one in more.values())
    told, others = run("random", seeds=3)
    assert told == "toy.npz: random\n"
    assert others["random"]["seeds"] == 3
    # A search by rules cannot begin where the file keeps no look of theirs.
    assert "seeded left out" in run("seeded")[0]


def test_a_result_keeps_the_versions_it_was_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landscape, kept = write_toy_landscape(tmp_path / "toy.npz"), tmp_path / "out.json"
    arguments = ["quality", "--landscape", str(landscape), "--seeds", "1", "--workers", "1"]
    arguments += ["--json", str(kept), "--methods"]
    for day, method in (("2026-01-01", "random"), ("2026-02-02", "plain")):
        about = {"date": day, "commit": method[0] * 40}
        monkeypatch.setattr(quality, "circumstances", lambda about=about: about)
        monkeypatch.setattr(sys, "argv", [*arguments, method])
        quality.main()
    found = json.loads(kept.read_text())
    (report,) = found["reports"]
    dates = {name: one["date"] for name, one in report["methods"].items()}
    assert dates == {"random": "2026-01-01", "plain": "2026-02-02"}
    assert found["date"] == "2026-01-01"
    assert measured_at(str(kept)) == "rrrrrrr, ppppppp"


@pytest.mark.parametrize("content", ['{"reports": [{"a": 1}]}', '{"reports": 1}', "[]", "{"])
def test_another_file_is_not_taken_for_results(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.json"
    other.write_text(content)
    monkeypatch.setattr(sys, "argv", ["quality", "--json", str(other)])
    with pytest.raises(InputError, match="`json` .*other.json is not a file of this benchmark"):
        quality.main()
    assert other.read_text() == content


def test_a_search_ends_with_the_optimum_and_no_figure_knows(tmp_path: Path) -> None:
    path = write_toy_landscape(tmp_path / "toy.npz")
    regrets, _ = best_so_far((path, "random", SPACE.size, 0))
    assert len(regrets) == SPACE.size
    assert regrets[-1] == 0
    problem = landscape_problem(path)
    evaluator = UntilFound(problem)
    with pytest.raises(FoundError):
        TABULAR["random"](task(evaluator, SPACE.size))
    assert problem.best == min(trace(evaluator, SPACE))


def test_what_is_written_shows_the_tables_of_the_file() -> None:
    folder = Path(__file__).parents[3] / "benchmarks" / "search"
    kept = json.loads((folder / "results/quality.json").read_text())
    assert hits_at(0.05, kept["reports"]) in (folder / "README.md").read_text(encoding="utf-8")
    told = (folder / "quality.md").read_text(encoding="utf-8")
    assert tables(kept["reports"]) in told


@pytest.mark.parametrize("kind", KINDS)
def test_a_rugged_landscape_is_the_same_for_a_seed_and_is_another_for_another(kind: str) -> None:
    (space, first), (_, again), (_, other) = (rugged(kind, seed) for seed in (0, 0, 1))
    rng = random.Random(0)
    patterns = [init_uniform(space, rng=rng).pattern for _ in range(20)]
    losses = first.evaluate(patterns).losses
    np.testing.assert_array_equal(losses, again.evaluate(patterns).losses)
    assert not np.allclose(losses, other.evaluate(patterns).losses)
    assert first.evaluate([space.dense]).losses[0] < losses.min()
