"""Limits and costs of a search do not depend on what other searches have left in the cache."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from evop_deap.evolution.state import EvolutionState
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.run_search import run_search
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.search_config import SearchConfig

EXECUTED = {"executed", "hits", "block_tokens", "head_tokens", "bytes_held", "seconds"}
"""Columns of the history that say what was executed, and not what was charged."""

MANY = {
    "population": 4, "tournament": 2, "offspring": 3, "generations": None, "compensate": "off",
}  # fmt: skip

SEARCHES: dict[str, dict[str, Any]] = {
    "plain": {"init": ("balanced",), "surrogate": "none", "racing": "off"},
    "seeded and raced": {},
    "divergence": {"fitness": "kl", "racing": "off"},
    "halves": {"granularity": "half"},
    "heuristic": {"method": "sleb"},
    "random patterns": {"method": "random-best"},
    "compensated": {"compensate": "auto"},
    "compensated halves": {"compensate": "auto", "granularity": "half"},
}
SELDOM = {"divergence", "halves", "random patterns", "compensated"}  # much like another one


@pytest.mark.parametrize(
    "kind",
    [pytest.param(one, marks=pytest.mark.slow if one in SELDOM else ()) for one in SEARCHES],
)
def test_a_warm_cache_changes_neither_the_course_nor_the_charged_cost(
    kind: str, run_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = {"max_cost": 9.0, "cache": True}
    config = SearchConfig(sparsity=0.4, **{**run_settings, **MANY, **ends, **SEARCHES[kind]})
    # Another search has paid for some of the patterns, and for some windows of others.
    (cold, rows), (warm, again), (later, once_more) = (
        _run(config, tmp_path / "cold"),
        _run(config, tmp_path / "warm"),
        _run(config.replace(tokens=128, max_cost=5.0), tmp_path / "more text"),
    )
    if "compensated" in kind:  # whose fits are summed in another order
        assert cold["cost"] == pytest.approx(cold["executed"], rel=1e-12)
    else:
        assert cold["cost"] == cold["executed"]
    assert warm["executed"] < cold["executed"]
    assert _charged(warm) == _charged(cold)
    assert again == rows
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path / "another cache"))
    alone, alone_rows = _run(config.replace(tokens=128, max_cost=5.0), tmp_path / "alone")
    assert _charged(later) == _charged(alone)
    assert once_more == alone_rows


class Killed(Exception):
    """Ends a process, as it were."""


class Assassin(Progress):
    """Ends the process after each generation."""

    def generation(self, state: EvolutionState) -> None:
        raise Killed


@pytest.mark.parametrize("compensate", [pytest.param("off", marks=pytest.mark.slow), "auto"])
def test_a_search_killed_with_a_warm_cache_is_charged_as_if_alone(
    compensate: str, run_settings: dict[str, Any], tmp_path: Path
) -> None:
    ends = {"max_cost": 9.0, "cache": True, "compensate": compensate}
    settings = {**run_settings, **MANY, **ends}
    config = SearchConfig(sparsity=0.4, **settings)
    (cold, rows), ended = _run(config, tmp_path / "cold"), False
    while not ended:
        with suppress(Killed):
            # With and without the cache in turn: only what is executed depends on it.
            config = config.replace(cache=not config.cache)
            run_search(config, tmp_path / "warm", resume=True, progress=Assassin())
            ended = True
    result, again = _read(tmp_path / "warm")
    assert again == rows
    assert result["cost"] == cold["cost"]
    assert result["executed"] < cold["executed"]


@pytest.mark.parametrize("compensate", [pytest.param("off", marks=pytest.mark.slow), "auto"])
def test_each_budget_of_several_is_charged_alike_with_a_warm_cache(
    compensate: str, run_settings: dict[str, Any], tmp_path: Path
) -> None:
    ends = {"max_cost": 6.0, "cache": True, "compensate": compensate}
    settings = {**run_settings, **MANY, **ends}
    config = SearchConfig(sparsity=(0.2, 0.4), **settings)
    curves = []
    for name in ("cold", "warm"):
        run_search(config, tmp_path / name)
        curves.append(json.loads((tmp_path / name / "curve.json").read_text()))
    assert [row["cost"] for row in curves[0]["budgets"]] == [
        row["cost"] for row in curves[1]["budgets"]
    ]
    assert curves[0]["total"]["cost"] == curves[1]["total"]["cost"]


def _run(config: SearchConfig, output: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result of a search, and its history without what was executed."""
    run_search(config, output)
    return _read(output)


def _read(output: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = (output / "history.jsonl").read_text().splitlines()
    rows = [{k: v for k, v in json.loads(line).items() if k not in EXECUTED} for line in lines]
    return json.loads((output / "result.json").read_text()), rows


def _charged(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what was executed and how long it took."""
    executed = {"executed", "cache_hits", "work", "seconds"}
    charged = {name: value for name, value in result.items() if name not in executed}
    validation = {**result["validation"], "executed": None}
    return {**charged, "validation": validation}


def test_a_result_of_an_earlier_version_has_executed_all_its_cost(finished_run: Path) -> None:
    plain = json.loads((finished_run / "result.json").read_text())
    for name in ("executed", "refused", "compensation"):
        del plain[name]
    for text in ("calibration", "heldout"):
        for figure in ("loss", "perplexity"):
            plain[text][figure].pop("compensated", None)
    result = SearchResult.from_dict(plain)
    assert result.executed == result.cost
    assert result.refused == ()
    assert result.compensation is None
