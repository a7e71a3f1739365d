"""What a result says of the runner-up and of what rules picked, on both texts."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evop_deap.base.typed import typed
from evop_deap.fitness.protocol import Work
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.run_search import run_search
from evop_deap.runs.stages.compare import paired_loss, picked_by_heuristics
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.prepare import prepare
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.runs.storage.result import SearchResult, result_table, standing
from evop_deap.runs.storage.text_losses import PairedLoss, Rival
from evop_deap.settings.search_config import SearchConfig

RULES = ("block-influence", "relative-magnitude")


@pytest.fixture(scope="module")
def result(finished_run: Path) -> SearchResult:
    found = load_run(finished_run).result
    assert found is not None
    return found


def sums(prepared: Prepared, part: str, dropped: tuple[str, ...]) -> NDArray[np.float64]:
    """(windows,) nats a token by an ordinary forward pass."""
    pattern = tuple(int(unit.name not in dropped) for unit in prepared.space.units)
    windows = getattr(prepared.text, part).tokens
    found = prepared.evaluators.plain(windows).evaluate([pattern])
    return found.sums[0] / found.tokens


@pytest.mark.parametrize(("seed", "compensated"), [(0, False), (2, True)])
def test_rivals_are_told_with_the_paired_difference_and_compensated_as_the_export_is(
    seed: int, compensated: bool, run_settings: dict[str, Any], tmp_path: Path
) -> None:
    given = {**run_settings, "sparsity": 0.4, "seed": seed, "compensation_tokens": 64}
    result = run_search(SearchConfig(**given), tmp_path / "run")
    assert result.is_compensated == compensated
    without = {} if compensated else {"compensate": "off"}
    prepared = prepare(SearchConfig(**{**given, **without}), Progress())
    assert result.runner_up is not None
    assert result.runner_up.names == ()
    assert result.runner_up.dropped != result.dropped
    for rival in (*result.heuristics, result.runner_up):
        assert rival.compensated == compensated
        for part in ("calibration", "heldout"):
            told: PairedLoss = getattr(rival, part)
            found, other = (sums(prepared, part, d) for d in (result.dropped, rival.dropped))
            if not compensated:  # the fit of the model that is written has more text
                assert getattr(result, part).loss["pruned"] == pytest.approx(found.mean(), abs=1e-5)
            assert told.loss == pytest.approx(other.mean(), abs=1e-5)
            assert told.perplexity == pytest.approx(math.exp(other.mean()), rel=1e-4)
            difference = found - other
            assert told.difference == pytest.approx(difference.mean(), abs=1e-5)
            error = difference.std(ddof=1) / len(difference) ** 0.5
            assert told.error == pytest.approx(error, abs=1e-5)
    assert ("both compensated" in " ".join(standing(result))) == compensated


def test_the_best_heuristic_on_calibration_text_stands_first(result: SearchResult) -> None:
    losses = [rival.calibration.loss for rival in result.heuristics]
    assert losses == sorted(losses)
    # What the search found may be worse than what it began with only within the error.
    best = result.heuristics[0].calibration
    assert best.difference is not None
    assert best.error is not None
    assert best.difference <= best.error


def test_a_resumed_run_tells_the_same(finished_run: Path, tmp_path: Path) -> None:
    whole = load_run(finished_run).result
    assert whole is not None
    again = tmp_path / "again"
    shutil.copytree(finished_run, again)
    (again / "result.json").unlink()
    config = SearchConfig(**load_run(again).settings)
    resumed = run_search(config, again, resume=True)
    assert {**resumed.as_dict(), "seconds": 0} == {**whole.as_dict(), "seconds": 0}
    read = load_run(again).result
    assert read is not None
    assert read.heuristics == resumed.heuristics
    assert read.runner_up == resumed.runner_up


def test_a_search_that_begins_at_random_has_no_heuristics(
    run_settings: dict[str, Any], tmp_path: Path
) -> None:
    quick = {**run_settings, "generations": 0, "fitness": "kl"}
    config = SearchConfig(sparsity=0.4, init=("balanced",), **quick)
    found = run_search(config, tmp_path / "run")
    assert found.heuristics == ()
    assert found.runner_up is not None
    assert SearchResult.from_dict(found.as_dict()).heuristics == ()
    assert "heuristic" not in result_table(found)
    for text in (found.runner_up.calibration, found.runner_up.heldout):
        assert text.loss > 0  # cross-entropy, although the search minimised the divergence


def ended(losses: dict[Any, float], picks: dict[str, Any]) -> Found:
    best = min(losses, key=losses.__getitem__)
    return Found(
        pattern=best, loss=losses[best], losses=losses, picks=picks, evaluations=len(losses),
        cache_hits=0, cost=0.0, work=Work(), generations=0, stopped="", seconds=0.0,
    )  # fmt: skip


def test_rules_that_pick_the_same_are_one_rival_and_those_never_judged_none() -> None:
    picks = {"last": (1, 0), "angular": (0, 1), "taylor": (1, 0), "random": (0, 0)}
    found = picked_by_heuristics(ended({(0, 1): 2.0, (1, 0): 1.0}, picks))
    assert found == {(1, 0): ("last", "taylor"), (0, 1): ("angular",)}
    assert list(found) == [(1, 0), (0, 1)]


def test_one_window_tells_no_error_and_an_infinite_loss_no_difference() -> None:
    tokens = np.array([10])
    assert paired_loss(np.array([30.0]), np.array([31.0]), tokens) == PairedLoss(
        3.1, pytest.approx(-0.1), None
    )
    lost = paired_loss(np.array([30.0]), np.array([math.inf]), tokens)
    assert (lost.loss, lost.difference, lost.error) == (math.inf, None, None)
    rival = Rival(("last",), ("3",), lost, lost)
    plain = rival.as_dict()
    assert plain["heldout"] == {
        "loss": None, "perplexity": None, "difference": None, "error": None,
    }  # fmt: skip
    assert typed(Rival, plain) == rival


def test_the_table_shows_dense_heuristic_and_pruned_side_by_side(
    run_settings: dict[str, Any], tmp_path: Path
) -> None:
    config = SearchConfig(sparsity=0.4, **run_settings, compensate="off")
    result = run_search(config, tmp_path / "run")
    assert isinstance(result, SearchResult)
    lines = result_table(result).splitlines()
    assert lines[0].split() == ["perplexity", "dense", "heuristic", "pruned"]
    rule, heldout = result.heuristics[0], result.heldout.perplexity
    wanted = [heldout["dense"], rule.heldout.perplexity, heldout["pruned"]]
    assert lines[2].split()[1:4] == [f"{figure:.2f}" for figure in wanted]
    # Figures of one kind stand below each other.
    assert {line.index(".") for line in lines[1:3]} == {lines[1].index(".")}
    said = "\n".join(standing(result))
    for rival in (rule, result.runner_up):
        assert rival is not None
        assert rival.name in said
