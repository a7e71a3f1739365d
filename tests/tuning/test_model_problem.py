"""Trials on a model: they share losses, and each pays what the search with its settings pays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.run_search import run_search
from evop_deap.settings.search_config import SearchConfig
from evop_deap.tuning.budgeted_run import BudgetedRun
from evop_deap.tuning.problems import model_problem
from evop_deap.tuning.settings_space import SettingsSpace

COST = 9.0
SEARCH = {"generations": None, "max_cost": COST, "stop_when_sure": None}
RACING = {"racing": "on", "surrogate": "none", "init": "balanced"}


@pytest.mark.parametrize(
    ("compensate", "chosen"), [("auto", {"racing": "off"}), ("auto", RACING), ("off", RACING)]
)
def test_a_trial_ends_where_the_search_with_its_settings_does(
    compensate: str, chosen: dict[str, Any], run_settings: dict[str, Any], tmp_path: Path
) -> None:
    space = SettingsSpace()
    evolution = space.effective({**space.defaults, **chosen, "population": 3, "offspring": 2})
    own = {**run_settings, "granularity": "half", "compensate": compensate, "sparsity": 0.4}
    plain = {name: value for name, value in own.items() if name not in evolution}
    with model_problem(SearchConfig(**plain), Progress()) as problem:
        runs = [BudgetedRun(problem, 0, evolution) for _ in range(2)]
        for run in runs:
            run.advance(COST)
    run_search(SearchConfig(**{**plain, **evolution, **SEARCH}), tmp_path / "run")
    rows = map(json.loads, (tmp_path / "run" / "history.jsonl").read_text().splitlines())
    searched = [(row["evaluations"], row["cost"]) for row in rows]
    assert len(searched) > 2
    for run in runs:  # the second is not cheaper for what the first has paid
        assert run.state is not None
        assert [(row["evaluations"], row["cost"]) for row in run.state.records] == [
            (count, pytest.approx(cost)) for count, cost in searched
        ]
