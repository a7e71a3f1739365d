"""The board of several models, on toy models, and its tables on known losses."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from own_text import own_corpus

from benchmarks.board.claims_across import models_claims
from benchmarks.board.making import answered_together
from benchmarks.board.making.cells import cells_of
from benchmarks.board.making.earlier_runs import EarlierRuns
from benchmarks.board.making.run_files import Run, read_runs
from benchmarks.board.models import main, runs_by_model
from benchmarks.board.tables.board_tables import board_tables
from benchmarks.board.tables.models_tables import models_tables
from benchmarks.board.tables.ratios import Ratio
from benchmarks.board.tables.zero_shot import (
    difference,
    in_points,
    mean_difference,
    with_arithmetic,
)
from benchmarks.common.estimated import Estimated
from benchmarks.common.exclusive_files import claimed
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.fitness.model.right_answers import RightAnswers, checked_answering

CIRCUMSTANCES = ("versions", "machine", "commit", "date")
PAGE = Path(__file__).parents[3] / "benchmarks/board"


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory, toy_checkpoint: Path) -> tuple[list[str], str]:
    """The folders of two models, and a corpus of two domains."""
    model, corpus = own_corpus(tmp_path_factory.mktemp("toys"), 120)
    return [model, str(toy_checkpoint)], corpus


def command(models: list[str], corpus: str, output: Path, *more: str) -> list[str]:
    return [
        "--models", *models, "--corpus", corpus, "--heldout", corpus, "--output", str(output),
        "--sparsity", "0.4", "--granularity", "block", "--window", "16", "--tokens", "64",
        "--heldout-window", "16", "--heldout-tokens", "64", "--max-cost", "4", "--seeds", "2",
        "--methods", "search", "angular", *more,
    ]  # fmt: skip


def test_every_model_has_a_board_of_its_own_with_the_same_exam(
    toys: tuple[list[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, corpus = toys
    assert main(command(models[:1], corpus, tmp_path)) == 0
    first = {path: path.read_bytes() for path in tmp_path.glob("*/*.json")}
    assert main(command(models, corpus, tmp_path)) == 0
    said = capsys.readouterr()
    assert "4 of 4 cells are there already" in said.err
    assert {path: path.read_bytes() for path in first} == first
    found = runs_by_model(tmp_path)
    assert {name: len(runs) for name, runs in found.items()} == {"toy": 4, "llama": 4}
    texts = [run["protocol"]["texts"][0]["sha256"] for runs in found.values() for run in runs]
    assert len(set(texts)) == 1
    assert "toy, 2 of 5 blocks" in said.out
    (claim,) = models_claims(str(tmp_path))  # no tasks, no rival but one
    assert f"| {claim.figure} |" in said.out
    assert claim.what == "held-out perplexity, search / angular, mean over llama, toy"
    capsys.readouterr()
    assert main([*command(models, corpus, tmp_path), "--table"]) == 0
    assert capsys.readouterr().out == said.out[said.out.rindex("llama in") :]


def test_models_that_would_share_a_folder_are_refused(
    toys: tuple[list[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, corpus = toys
    assert main(command([models[0], models[0]], corpus, tmp_path)) == 2
    assert "would share a folder" in capsys.readouterr().err


def test_what_is_left_compensated_is_evaluated_so(
    toys: tuple[list[str], str], tmp_path: Path
) -> None:
    models, corpus = toys
    more = ["--compensation-tokens", "512", "--seeds", "1"]
    plain, changed = tmp_path / "plain", tmp_path / "changed"
    assert main(command(models[:1], corpus, plain, *more)) == 0
    assert main(command(models[:1], corpus, changed, *more, "--compensate", "full")) == 0
    for name in ("block-0.4-angular-0", "block-0.4-search-0"):
        one, other = (
            json.loads((folder / f"toy/{name}.json").read_text()) for folder in (plain, changed)
        )
        assert not one["found"]["compensated"]
        assert other["found"]["cost"] > other["found"]["search_cost"]
        if other["found"]["compensated"] and other["found"]["dropped"] == one["found"]["dropped"]:
            assert other["judged"] != one["judged"]
    assert other["protocol"]["compensate"]["form"] == "full"
    (without,), (claim,) = (models_claims(str(folder)) for folder in (plain, changed))
    assert claim.command == without.command.replace("float32", "float32 --compensate full")
    assert claim.what == f"{without.what}, all compensated"
    # No cell of one folder goes into the other.
    more += ["--compensate", "full", "--seeds", "2"]
    assert main(command(models[:1], corpus, plain, *more)) == 2


def answered(*right: str) -> Run:
    tasks = [
        {"task": str(i), "metric": "acc", "scores": each, "error": 0.1,
         "value": each.count("1") / len(each)}
        for i, each in enumerate(right)
    ]  # fmt: skip
    return {"judged": {"tasks": tasks}}


def test_an_interval_of_accuracy_holds_questions_and_seeds() -> None:
    search, other = [answered("1110")], [answered("1010")]
    alone = difference([(search, other)])
    assert alone.value == pytest.approx(0.25)
    assert alone.error == pytest.approx(0.5 / math.sqrt(4))
    steady = difference([(search * 2, other)])
    assert steady.error == pytest.approx(alone.error)
    varied = difference([([answered("1111"), answered("1010")], other)])
    of_seeds, of_questions = 0.5 / math.sqrt(2) / math.sqrt(2), 0.5 / math.sqrt(3) / math.sqrt(4)
    assert varied.error == pytest.approx(math.hypot(of_seeds, of_questions))
    assert in_points(alone) == "+25.0 (-54.6 to +104.6)"  # three degrees of freedom


def test_questions_of_two_models_are_the_same() -> None:
    search, other = [answered("1100")], [answered("0011")]
    one = [([answered("1110")], other)]
    assert mean_difference([one]) == difference(one)
    opposite = [[(search, other)], [(other, search)]]
    assert mean_difference(opposite) == Estimated(0.0, 0.0)
    # A board that has fewer questions counts whole, and its questions are its own.
    shorter = [([answered("11")], [answered("00")])]
    both = mean_difference([one, shorter])
    assert both.value == pytest.approx((0.25 + 1.0) / 2)
    assert both.error == pytest.approx(difference(one).error / 2) != 0
    assert both.freedom == pytest.approx(3)


def made_up(model: str, method: str, loss: float, tokens: int = 64) -> Run:
    entry = {"role": "heldout", "domain": "a", "window": 8, "losses": [loss] * 3}
    text: dict[str, Any] = {"corpus": "c", "window": 8, "tokens": tokens, "sha256": model}
    return {
        "protocol": {"model": model, "dtype": "float32", "calibration": text, "max_cost": 4},
        "cell": {"method": method, "sparsity": 0.2, "granularity": "block", "seed": 0},
        "found": {"dropped": ["1"], "units": 5, "cost": 2.0},
        "judged": {"perplexity": [entry], "tasks": []},
    }


def test_every_model_weighs_the_same_in_the_mean() -> None:
    runs = {
        name: [made_up(name, "dense", 1.0), made_up(name, "search", 2.0),
               made_up(name, "angular", 2.0 + behind)]
        for name, behind in (("small", 0.2), ("large", 0.4))
    }  # fmt: skip
    runs["dense alone"] = [made_up("dense alone", "dense", 1.0)]
    said = models_tables(runs)
    ratios = [str(Ratio(*[math.exp(-x)] * 3)) for x in (0.2, 0.4, 0.3)]
    assert f"| angular | {' | '.join(ratios)} |" in said
    assert "dense alone" not in said
    for name in ("max_cost", "limit", "arithmetic"):  # neither another cost nor another exam
        other = {"protocol": {**runs["large"][0]["protocol"], name: 9}}
        changed = {**runs, "large": [{**run, **other} for run in runs["large"]]}
        with pytest.raises(InputError, match=name):
            models_tables(changed)


@pytest.mark.parametrize(
    ("kept", "count"),
    [
        ("models", 4),  # perplexity and accuracy, arithmetic, repetition, cost
        ("models.halves", 2),
        ("models.halves.tasks", 4),
        ("models.large", 2),
        ("models.compensated", 2),
    ],
)
def test_the_page_shows_the_tables_of_the_kept_cells(kept: str, count: int) -> None:
    page = (PAGE / "models.md").read_text(encoding="utf-8")
    tables = models_tables(runs_by_model(PAGE / "results" / kept)).split("\n\n")
    rows = [part for part in tables if part.startswith("|")]
    assert len(rows) == count
    assert [part for part in rows if part not in page] == []


def test_streamed_weights_leave_the_same_cells(toys: tuple[list[str], str], tmp_path: Path) -> None:
    models, corpus = toys
    held, streamed = tmp_path / "held", tmp_path / "streamed"
    assert main(command(models[:1], corpus, held, "--seeds", "1")) == 0
    more = ["--seeds", "1", "--weights", "streamed"]
    assert main(command(models[:1], corpus, streamed, *more)) == 0
    for path in held.glob("toy/*.json"):
        one, other = (json.loads((f / "toy" / path.name).read_text()) for f in (held, streamed))
        assert one["judged"] == other["judged"]
        assert one["found"]["dropped"] == other["found"]["dropped"]
    both = tmp_path / "both"
    assert main(command(models[:1], corpus, both, *more, "--compensate", "full")) == 0
    cells = [json.loads(path.read_text()) for path in both.glob("toy/block-*.json")]
    assert {cell["protocol"]["compensate"]["form"] for cell in cells} == {"full"}


def test_generated_text_is_compared_as_questions_are() -> None:
    def generated(method: str, right: str, repeated: float, model: str = "toy") -> Run:
        run = made_up(model, method, 2.0)
        arithmetic = answered(right, right)["judged"]["tasks"]
        degeneracy = [{"repetition": {"value": repeated, "error": 0.1}}]
        return {
            **run,
            "judged": {**run["judged"], "arithmetic": arithmetic, "degeneracy": degeneracy},
        }

    cells = [("dense", "1111", 0.1), ("search", "1100", 0.25), ("angular", "1000", 0.5)]
    runs = [generated(*cell) for cell in cells]
    said = models_tables({"toy": runs})
    assert "| **search** | 50.0 ± 7.1 |" in said
    lead = difference([(with_arithmetic(runs[1:2]), with_arithmetic(runs[2:]))])
    assert lead.value == pytest.approx(0.25)
    assert f"| angular | {in_points(lead)} |\n" in said
    assert "mean over models" not in said
    more = models_tables({"toy": runs, "large": [generated(*cell, "large") for cell in cells]})
    # Both models are asked the same questions, and answer alike.
    assert f"| angular | {' | '.join([in_points(lead)] * 3)} |\n" in more
    assert more.count("| mean over models |") == 2  # perplexity and arithmetic
    halves = [{**run, "cell": {**run["cell"], "granularity": "half"}} for run in runs[1:]]
    both = models_tables({"toy": [*runs, *halves]})
    assert both.count("| mean |") == 2
    assert "| angular | 50.0 |" in said  # 4-grams
    assert "; " not in said.split("| **search** |")[1].splitlines()[0]  # perplexity alone
    assert "| dense | 0.1" not in said


@pytest.mark.slow
def test_a_cell_has_arithmetic_and_continuations(
    toys: tuple[list[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = shutil.copytree(toys[0][0], tmp_path / "long")
    config = json.loads((long / "config.json").read_text())
    (long / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 1024}))
    more = ["--arithmetic", "2", "--prompts", "2", "--methods", "search", "--seeds", "1"]
    words = command([str(long)], toys[1], tmp_path / "out", *more)
    assert main(words) == 0
    run = json.loads((tmp_path / "out/long/block-0.4-search-0.json").read_text())
    assert [len(one["scores"]) for one in run["judged"]["arithmetic"]] == [2] * 4
    assert run["judged"]["degeneracy"][0]["prompts"] == 2
    assert "Exact match of arithmetic" in capsys.readouterr().out
    assert "arithmetic two-step exact_match" in board_tables(read_runs(tmp_path / "out/long"))
    assert main([*words, "--arithmetic", "3"]) == 2
    assert "arithmetic 2, but now it is 3" in capsys.readouterr().err


def test_patterns_of_another_folder_are_evaluated_anew(
    toys: tuple[list[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    words = command(toys[0][:1], toys[1], first, "--seeds", "1")
    assert main(words) == 0
    more = ["--output", str(second), "--patterns-from", str(first), "--heldout-tokens", "32"]
    assert main([*words, *more]) == 0
    for path in first.glob("toy/*.json"):
        one, other = (json.loads((f / "toy" / path.name).read_text()) for f in (first, second))
        assert other["found"] == one["found"]
        assert other["found_at"] == {name: one[name] for name in CIRCUMSTANCES}
        assert other["judged"]["perplexity"][0]["losses"] == pytest.approx(
            one["judged"]["perplexity"][0]["losses"][:2], rel=1e-6
        )
    third = tmp_path / "third"
    assert main([*words, "--patterns-from", str(second), "--output", str(third)]) == 0
    found_at = [json.loads((f / "toy/dense.json").read_text())["found_at"] for f in (second, third)]
    assert found_at[0] == found_at[1]
    capsys.readouterr()
    assert main([*words, *more, "--output", str(tmp_path / "fourth"), "--max-cost", "9"]) == 2
    assert "`patterns_from` holds runs with max_cost 4.0, but now it is 9.0" in (
        capsys.readouterr().err
    )


def test_a_cell_that_appears_later_is_not_taken_over(
    toys: tuple[list[str], str], tmp_path: Path
) -> None:
    assert main(command(toys[0][:1], toys[1], tmp_path, "--seeds", "1")) == 0
    folder = tmp_path / "toy"
    protocol = read_runs(folder)[0]["protocol"]
    cells = cells_of(["search", "angular"], [0.4], ["block"], 1)
    late = (folder / "block-0.4-angular-0.json").rename(tmp_path / "late.json")
    earlier = EarlierRuns.read(folder, cells, protocol)
    late.rename(folder / "block-0.4-angular-0.json")
    found = {cell.method: earlier.of(cell)["found"] for cell in cells[:2]}
    assert earlier.patterns == [("block", found[name]["dropped"]) for name in ("dense", "search")]
    with pytest.raises(InputError, match="toy has no block-0.4-angular-0.json"):
        earlier.of(cells[2])


def test_questions_are_answered_by_all_patterns_at_once_as_by_each_model_alone(
    toys: tuple[list[str], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks: list[int] = []

    def counted(*given: Any, **options: Any) -> RightAnswers:
        checks.append(len(given[3]))
        return checked_answering(*given, **options)

    monkeypatch.setattr(answered_together, "_PART", 4)
    monkeypatch.setattr(answered_together, "checked_answering", counted)
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    rows = [
        {"goal": f"Go {i}", "sol1": " by sea"[: 3 + i % 4], "sol2": " run" * (1 + i % 2),
         "label": i % 2}
        for i in range(9)
    ]  # fmt: skip
    (tasks / "piqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    alone, second = tmp_path / "alone", tmp_path / "second"
    words = command(toys[0][1:], toys[1], alone, "--seeds", "1", "--tasks-from", str(tasks))
    words += ["--granularity", "block", "half", "--tasks", "piqa", "--limit", "7"]
    assert main(words) == 0
    more = ["--patterns-from", str(alone), "--output", str(second)]
    assert main([*words, *more]) == 0
    paths = [*alone.glob("*/*.json")]
    assert len(paths) == 4  # dense, search and angular by blocks, search by halves
    for path in paths:
        one, other = (json.loads((f / "llama" / path.name).read_text()) for f in (alone, second))
        (normed,) = (score for score in one["judged"]["tasks"] if score["metric"] == "acc_norm")
        (found,) = other["judged"]["tasks"]
        assert found == {**normed, "version": found["version"]}
        assert other["protocol"]["answered"] == "together"
    runs = runs_by_model(second)["llama"]
    halves = {r["cell"]["method"]: r for r in runs if r["cell"]["granularity"] == "half"}
    lead = difference([([halves["search"]], [r for r in runs if r["cell"]["method"] == "dense"])])
    assert f"; {in_points(lead)} |" in capsys.readouterr().out
    parts = {path: path.stat().st_mtime_ns for path in second.glob("*/answers/*.json")}
    whole = {path: path.read_text() for path in parts}
    assert len(parts) == 4  # of four questions and of three, for each granularity
    assert checks == [7, 7]  # the whole task, for each granularity
    dense = second / "llama/dense.json"
    before = json.loads(dense.read_text())["judged"]
    for path in second.glob("*/*.json"):
        path.unlink()
    assert main([*words, *more]) == 0
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    assert len(checks) == 2  # nothing was answered anew
    assert json.loads(dense.read_text())["judged"] == before
    # A part that another process works on leaves the cells for later.
    for path in [*second.glob("*/*.json"), *parts]:
        path.unlink()
    with claimed(next(iter(parts))) as mine:
        assert mine
        capsys.readouterr()
        assert main([*words, *more]) == 2  # there is nothing to compare yet
        assert "another process answers the rest" in capsys.readouterr().err
    assert not dense.exists()
    # A part that another process finishes while this one answers the last is not missed.
    kept = {path: path.read_text() for path in second.glob("*/answers/*.json")}
    (open_part,) = parts.keys() - kept
    for path in kept:
        path.unlink()

    def written(path: Path, value: Any) -> None:
        write_json(path, value)
        if {*second.glob("*/answers/*.json")} == {*kept}:
            open_part.write_text(whole[open_part])

    monkeypatch.setattr(answered_together, "write_json", written)
    with claimed(open_part) as mine:
        assert mine
        assert main([*words, *more]) == 0
    assert json.loads(dense.read_text())["judged"] == before


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--patterns-from", "nowhere"], "nowhere/toy has no dense.json"),
        (["--max-cost", "9"], "holds runs with max_cost 4.0, but now it is 9.0"),
    ],
)
def test_without_known_patterns_no_question_is_answered(
    more: list[str],
    says: str,
    toys: tuple[list[str], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = {"goal": "Go", "sol1": " by sea", "sol2": " run", "label": 0}
    (tmp_path / "piqa.jsonl").write_text(2 * (json.dumps(row) + "\n"))
    first, second = tmp_path / "first", tmp_path / "second"
    words = command(toys[0][:1], toys[1], first, "--seeds", "1")
    assert main(words) == 0
    words += ["--patterns-from", str(first), "--output", str(second)]
    words += ["--tasks-from", str(tmp_path), "--tasks", "piqa"]
    capsys.readouterr()
    assert main([*words, *more]) == 2
    assert says in capsys.readouterr().err
    assert not [*second.glob("*/answers/*")]
