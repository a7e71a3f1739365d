"""The benchmarks of recovery on a toy model, from its text to their tables."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from own_text import own_corpus

from benchmarks.recovery import compensation, methods, ranking
from evop_deap.base.errors import InputError
from evop_deap.runs.run_search import run_search
from evop_deap.settings.search_config import SearchConfig


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A model folder, and a corpus of two domains."""
    return own_corpus(tmp_path_factory.mktemp("toy"), 120)


def test_a_table_has_a_row_for_each_form_and_size(
    toy: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model, corpus = toy
    words = ["--model", model, "--corpus", corpus, "--drop", "2", "--tokens", "256", "512"]
    sizes = ["--window", "16", "--heldout-tokens", "64", "--forms", "full", "map"]
    compensation.main([*words, *sizes, "--json", str(tmp_path / "out.json")])
    report = json.loads((tmp_path / "out.json").read_text())
    assert [(row["form"], row["tokens"]) for row in report["rows"]] == [
        ("full", 256), ("full", 512), ("map", 256), ("map", 512),
    ]  # fmt: skip
    assert list(report["dense"]) == ["a", "b"]
    assert "| full | 256 |" in capsys.readouterr().out
    whole = report["rows"][1]
    both = compensation.removed(report, whole, ["a", "b"])
    gained = [report["pruned"][d] - whole["loss"][d] for d in "ab"]
    lost = [report["pruned"][d] - report["dense"][d] for d in "ab"]
    assert both == pytest.approx(sum(gained) / sum(lost))


def test_the_order_of_a_runs_patterns_is_compared(
    toy: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model, corpus = toy
    config = SearchConfig(
        model=model, corpus=corpus, window=16, tokens=64, heldout_tokens=64, population=3,
        tournament=2, offspring=3, generations=2, cache=False, sparsity=0.4, compensate="off",
    )  # fmt: skip
    run_search(config, tmp_path / "run")
    words = [str(tmp_path / "run"), "--corpus", corpus, "--patterns", "4", "--tokens", "512"]
    sizes = ["--window", "16", "--heldout-tokens", "64"]
    ranking.main([*words, *sizes, "--json", str(tmp_path / "out.json")])
    report = json.loads((tmp_path / "out.json").read_text())
    one = report["summary"]["run"]
    assert one["patterns"] == 4
    assert all(regret >= 0 for regret in one["regret"].values())
    assert "rank correlation" in capsys.readouterr().out


def test_patterns_that_were_eliminated_are_compared_on_their_own_windows():
    rows = {
        (1, 1, 1): np.array([1.0, 1.0]),
        (1, 1, 0): np.array([3.0, 9.0]),
        (1, 0, 1): np.array([4.0, 9.0]),
        (0, 1, 1): np.array([2.5, np.nan]),
    }
    found = ranking.nearest(rows, 3)
    assert [pattern for pattern, _ in found] == [(0, 1, 1), (1, 1, 0), (1, 0, 1)]
    assert [behind for _, behind in found] == [-0.5, 0.0, 0.5]


def test_the_boards_picks_are_read_by_sparsity_and_method():
    found = methods.picks(methods.ROOT / "board" / "results" / "demo", 0)
    assert set(found) == {0.1, 0.2, 0.33}
    assert found[0.2]["search"] == ("13", "14", "15", "16", "17", "18")
    assert "laco" not in found[0.2]


def test_picks_of_runs_are_those_of_compensated_searches(
    toy: tuple[str, str], tmp_path: Path
) -> None:
    model, corpus = toy
    config = SearchConfig(
        model=model, corpus=corpus, window=16, tokens=64, heldout_tokens=64, population=3,
        tournament=2, offspring=3, generations=1, cache=False, sparsity=0.4,
    )  # fmt: skip
    run = run_search(config, tmp_path / "run")
    found = methods.picks_of_runs([str(tmp_path / "run")])
    assert found == {0.4: {"search, compensated": run.dropped}}
    with pytest.raises(InputError, match="the sparsity 0.4 once more"):
        methods.picks_of_runs([str(tmp_path / "run")] * 2)
    run_search(dataclasses.replace(config, compensate="off"), tmp_path / "plain")
    with pytest.raises(InputError, match="--compensate off"):
        methods.picks_of_runs([str(tmp_path / "plain")])


def test_what_is_too_small_is_named(
    toy: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model, corpus = toy
    short = tmp_path / "short.txt"
    short.write_text("So short.")
    words = ["--model", model, "--corpus", corpus, "--drop", "2", "--window", "16"]
    for more, says in (
        (["--tokens", "8", "64"], r"`tokens` must be at least one `window` \(16\), but got 8"),
        (["--heldout-tokens", "8"], r"`heldout_tokens` must be at least one `window` \(16\)"),
        (["--tokens", "64", "--others", str(short)], "`others` .*short.txt has too little text"),
        (["--tokens", "64", "--others", "none.txt"], "`others` .*none.txt"),
    ):
        with pytest.raises(InputError, match=says):
            compensation.main([*words, *more])
    with pytest.raises(SystemExit):
        compensation.main([*words, "--seed", "-1"])
    assert "argument --seed: must be at least 0, but got -1" in capsys.readouterr().err
