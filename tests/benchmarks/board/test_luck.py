"""The benchmark of luck on a toy model, and its tables on known losses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from own_text import own_corpus

from benchmarks.board.claims_across import luck_claims
from benchmarks.board.luck import main, runs_of
from benchmarks.board.making.run_files import Run
from benchmarks.board.making.texts import is_exam
from benchmarks.board.tables.luck_tables import Lead, answer, lead, losses_of, luck_tables
from benchmarks.common.estimated import Estimated
from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_text

PAGE = Path(__file__).parents[3] / "benchmarks/board"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A model folder, and a corpus of two domains."""
    return own_corpus(tmp_path_factory.mktemp("toy"), 120)


def command(toy: tuple[str, str], output: Path, *more: str) -> list[str]:
    model, corpus = toy
    return [
        "--model", model, "--corpus", corpus, "--heldout", corpus, "--output", str(output),
        "--sparsity", "0.4", "--window", "16", "--heldout-window", "16", "--heldout-tokens", "64",
        "--max-cost", "4", "--methods", "evopress", "search", "angular",
        "--sizes", "32", "64", "--draws", "2", *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_every_draw_and_size_is_a_board_with_the_same_exam(
    toy: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(toy, tmp_path / "luck")) == 0
    said = capsys.readouterr().out
    assert "| tokens | 32 | 64 |" in said
    (claim,) = luck_claims(str(tmp_path / "luck"))
    assert claim.figure in said.replace("**", "")
    assert claim.command.endswith("--draws 2 --sizes 32 64")
    runs = runs_of(tmp_path / "luck")
    assert len(runs) == 2 * 2 * 4
    assert len({run["protocol"]["texts"][0]["sha256"] for run in runs}) == 1
    assert len({run["protocol"]["calibration"]["sha256"] for run in runs}) == 4
    found = {
        (run["protocol"]["calibration"]["sha256"], run["cell"]["method"]): run["found"]
        for run in runs
    }
    for text in {text for text, _ in found}:
        theirs, ours = found[text, "evopress"], found[text, "search"]
        picked = theirs["stopped"] == "when the heuristic had picked"
        assert picked or theirs["cost"] >= ours["search_cost"] > 4  # not the limit of the search
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "luck").glob("*/*.json")}
    assert main(command(toy, tmp_path / "luck", "--table")) == 0
    assert capsys.readouterr().out == said
    (tmp_path / "luck/64-1/block-0.4-angular-0.json").unlink()
    assert main(command(toy, tmp_path / "luck")) == 0
    after = {path: path.stat().st_mtime_ns for path in before}
    assert [path.parent.name for path in before if before[path] != after[path]] == ["64-1"]
    assert capsys.readouterr().out == said


def test_a_document_is_in_the_exam_or_in_a_draw(toy: tuple[str, str]) -> None:
    from benchmarks.board.making.texts import (
        calibration_of,
        heldout_text,
        joined_corpus,
        without_exam,
    )
    from evop_deap.models.loading.load_model import load_model

    model, corpus = toy
    loaded, share = load_model(model), 0.25
    rest = without_exam(joined_corpus([corpus]), share)
    texts = [json.loads(line)["text"] for line in Path(corpus).read_text().splitlines()]
    kept = {text for text in texts if is_exam(text, share)}
    assert 10 < len(kept) < 60
    exams = set()
    for seed in range(3):
        drawn = calibration_of(rest, loaded, window=16, tokens=64, seed=seed)
        exams.add(heldout_text(corpus, drawn, share).fingerprint)
        used = {one["sha256"] for one in drawn.manifest["calibration"]["documents"]}
        assert not used & {sha256_of_text(text) for text in kept}
    assert len(exams) == 1


def made_up(method: str, tokens: int, draw: int, seed: int, loss: float) -> Run:
    entry = {"role": "heldout", "domain": "a", "window": 8, "losses": [loss] * 3}
    protocol: dict[str, Any] = {
        "model": "toy", "dtype": "float32",
        "calibration": {"corpus": "c", "window": 8, "tokens": tokens, "seed": draw, "sha256": "x"},
    }  # fmt: skip
    return {
        "protocol": protocol,
        "cell": {"method": method, "sparsity": 0.2, "granularity": "block", "seed": seed},
        "found": {"dropped": ["1"], "units": 5, "cost": 2.0},
        "judged": {"perplexity": [entry]},
    }


def test_the_search_must_lead_by_more_than_the_spread_over_draws() -> None:
    draws = (-0.1, 0.0, 0.1)  # a standard deviation of 0.1
    runs = [
        *(made_up("search", s, d, seed, 3 + x) for s in (8, 16, 32) for d, x in enumerate(draws)
          for seed in (0, 1)),
        *(made_up("angular", s, d, 0, 3 + x + ahead)
          for s, ahead in ((8, 0.2), (16, 0.05), (32, 0.3)) for d, x in enumerate(draws)),
        *(made_up("last", s, d, 0, 5.0) for s in (8, 16, 32) for d in range(3)),
        made_up("sleb", 8, 0, 0, 1.0),  # looks more than once
    ]  # fmt: skip
    losses = losses_of(runs)
    few, middle = lead(losses, 8), lead(losses, 16)
    assert few is not None
    assert middle is not None
    assert (few.rule, few.better, few.draws) == ("angular", 3, 3)
    assert (few.gain.value, *few.gain.interval()) == pytest.approx((0.2, 0.2, 0.2))
    assert few.spread == pytest.approx(0.1)
    assert few.beyond_luck
    assert not middle.beyond_luck
    said = luck_tables(runs)
    assert "**From 32 tokens on**" in said
    assert "| **search** | 100 / 0 | 100 / 0 | 100 / 0 |" in said
    assert "| sleb | -1900 | - | - |" in said
    assert answer({16: middle}).startswith("Up to 16 tokens, these draws do not show")


def test_a_lead_at_some_sizes_is_told_though_it_does_not_last() -> None:
    won = Lead("angular", Estimated(0.2, 0.01, 2.0), 0.1, 3, 3)
    lost = replace(won, spread=0.3)
    said = answer({1024: won, 2048: lost, 4096: won, 8192: lost})
    assert said.startswith("At 1,024, 4,096 tokens the search beats the best one-shot rule")
    assert said.endswith("there is no size from which on it always does.")
    assert answer({1024: lost, 2048: won}).startswith("**From 2,048 tokens on**")


def test_draws_that_all_end_alike_make_no_lead_certain() -> None:
    runs = [
        made_up(method, 8, draw, 0, loss)
        for method, loss in (("search", 3.0), ("angular", 3.2))
        for draw in range(3)
    ]
    alike = lead(losses_of(runs), 8)
    assert alike is not None
    assert (alike.gain.value, alike.spread) == (pytest.approx(0.2), 0)
    assert not alike.beyond_luck
    said = luck_tables(runs)
    assert "| **search** | 3.000 (in every draw) |" in said
    assert "| angular | +200 (in every draw) |" in said
    assert answer({8: alike}).startswith("Up to 8 tokens, these draws do not show")


def test_the_page_shows_the_tables_of_the_kept_cells() -> None:
    page = (PAGE / "luck.md").read_text(encoding="utf-8")
    assert luck_tables(runs_of(PAGE / "results/luck")) in page


def test_seeds_within_a_draw_have_a_spread_of_their_own() -> None:
    runs = [made_up("search", 8, d, s, 3.0 + x) for d in (0, 1) for s, x in ((0, 0.0), (1, 0.2))]
    assert "| **search** | 0 / 141 |" in luck_tables(runs)


def test_folders_that_are_no_draws_are_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo-qwen-0.5b").mkdir()
    (tmp_path / "demo-qwen-0.5b" / "dense.json").write_text(json.dumps(made_up("x", 8, 0, 0, 1.0)))
    assert main(["--table", "--output", str(tmp_path)]) == 2
    assert "`output` holds no finished cell" in capsys.readouterr().err


def test_several_budgets_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "nowhere", "--output", str(tmp_path), "--sparsity", "0.2", "0.4"]
    assert main(words) == 2
    assert "`sparsity` must be one value here, but got 0.2 0.4" in capsys.readouterr().err
    runs = [made_up("search", 8, draw, 0, 3.0) for draw in (0, 1)]
    runs[1] = {**runs[1], "cell": {**runs[1]["cell"], "sparsity": 0.4}}
    with pytest.raises(InputError, match="several budgets: 0.2 by block, 0.4 by block"):
        luck_tables(runs)
    assert answer({}) == "No 3 draws have both the search and a one-shot rule."
