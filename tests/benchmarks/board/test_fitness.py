"""The benchmark of fitnesses on a toy model, and its tables on known runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from own_text import own_corpus

from benchmarks.board.claims_across import fitness_claims
from benchmarks.board.fitness import main, runs_by_fitness
from benchmarks.board.making.run_files import Run
from benchmarks.board.tables.fitness_tables import FitnessRuns, fitness_tables
from benchmarks.board.tables.zero_shot import task_accuracies

PAGE = Path(__file__).parents[3] / "benchmarks/board"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """A model folder, a corpus, and a folder of questions of a task seen and of another one."""
    folder = tmp_path_factory.mktemp("toy")
    tasks = folder / "tasks"
    tasks.mkdir()
    for name in ("arc_easy.dev", "arc_easy.test"):
        rows = [
            {"id": f"{name}{i}", "question": f"{name} {i}?", "answerKey": "AB"[i % 2],
             "choices": {"label": ["A", "B"], "text": [f"yes {i}", f"no {i}"]}}
            for i in range(40)
        ]  # fmt: skip
        (tasks / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [{"goal": f"Go {i}", "sol1": "by sea", "sol2": "run", "label": i % 2} for i in range(4)]
    (tasks / "piqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    return (*own_corpus(folder, 120), tasks)


def command(toy: tuple[str, str, Path], output: Path, *more: str) -> list[str]:
    model, corpus, tasks = toy
    return [
        "--models", model, "--corpus", corpus, "--heldout", corpus, "--output", str(output),
        "--questions", str(tasks / "arc_easy.dev.jsonl"), "--tasks-from", str(tasks),
        "--tasks", "arc_easy", "piqa", "--limit", "2", "--sparsity", "0.4", "--window", "16",
        "--tokens", "384", "--heldout-window", "16", "--heldout-tokens", "64", "--max-cost", "2",
        "--seeds", "1", *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_every_fitness_is_searched_and_has_the_same_exam(
    toy: tuple[str, str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = ["--fitnesses", "ce", "ce-tasks", "ce+0.5*answers"]
    assert main(command(toy, tmp_path, *some)) == 0
    found = runs_by_fitness(tmp_path)["toy"]
    assert {name: len(runs) for name, runs in found.items()} == {
        "ce": 2, "ce-tasks": 2, "ce+0.5*answers": 2,
    }  # fmt: skip
    exams = {run["protocol"]["texts"][0]["sha256"] for runs in found.values() for run in runs}
    assert len(exams) == 1
    written = [json.loads(line) for line in (tmp_path / "task_text.jsonl").read_text().splitlines()]
    assert written[1]["text"] == "Question: arc_easy.dev 1?\nAnswer: no 1"
    said = capsys.readouterr().out
    assert "Of arc_easy a fitness has seen development questions" in said
    assert "### toy (float32) without 2 of 5 blocks" in said
    assert main(command(toy, tmp_path, *some, "--table")) == 0
    assert capsys.readouterr().out == said
    claims = fitness_claims(str(tmp_path))
    assert [claim.what.split()[2] for claim in claims] == ["ce+0.5*answers", "ce-tasks"]
    assert f"; {claims[0].figure.split(', ')[0]} |" in said


@pytest.mark.slow
def test_the_patterns_of_all_fitnesses_answer_in_one_part_for_each_task(
    toy: tuple[str, str, Path], tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    some = ["--fitnesses", "ce", "kl"]
    assert main(command(toy, first, *some)) == 0
    changed = first / "toy/kl-0/block-0.4-search-0.json"
    run = json.loads(changed.read_text())
    run["found"]["dropped"] = ["0", "1"]
    changed.write_text(json.dumps(run))
    assert main([*command(toy, second, *some), "--patterns-from", str(first)]) == 0
    parts = [json.loads(path.read_text()) for path in second.glob("toy/answers/*.json")]
    assert [len(part) for part in parts] == [3, 3]  # a task each: dense, by ce, and without 0, 1
    assert not [*second.glob("toy/*-0/answers")]
    for name in ("ce-0/dense", "ce-0/block-0.4-search-0", "kl-0/dense"):
        one, other = (json.loads((f / f"toy/{name}.json").read_text()) for f in (first, second))
        assert task_accuracies([one]) == task_accuracies([other])
        assert one["found"] == other["found"]


def test_questions_are_asked_for_before_a_model_is_loaded(
    toy: tuple[str, str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--models", "nowhere", "--output", str(tmp_path), "--fitnesses", "answers"]
    assert main(words) == 2
    assert "`questions` must be given for the fitness answers" in capsys.readouterr().err
    assert main([*words[2:], "--models", "a/b", "a--b", "--fitnesses", "ce"]) == 2
    assert "`models` a/b a--b would share a folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_page_shows_the_tables_of_the_kept_cells() -> None:
    page = (PAGE / "fitness.md").read_text(encoding="utf-8")
    assert fitness_tables(runs_by_fitness(PAGE / "results/fitness")) in page


def made_up(method: str, loss: float, right: str) -> Run:
    entry = {"role": "heldout", "domain": "a", "window": 8, "losses": [loss] * 3}
    tasks = [
        {"task": task, "metric": "acc", "scores": scores, "error": 0.1,
         "value": scores.count("1") / len(scores)}
        for task, scores in (("arc_easy", right), ("piqa", right[::-1] if right else right))
    ]  # fmt: skip
    return {
        "protocol": {"model": "toy", "calibration": {"window": 8}},
        "cell": {"method": method, "granularity": "block", "sparsity": 0.2},
        "found": {"cost": 1.0},
        "judged": {"perplexity": [entry], "tasks": tasks},
    }


def test_a_fitness_is_compared_with_cross_entropy_by_question() -> None:
    found = {
        "ce": [made_up("dense", 1.0, "1111"), made_up("search", 2.0, "1000")],
        "answers": [made_up("search", 2.5, "1110"), made_up("search", 2.5, "1010")],
    }
    one = FitnessRuns.of("toy", found)
    assert one is not None
    assert str(one.ratio("answers")) == "1.649 (1.649 to 1.649)"
    lead = one.lead("answers", ["arc_easy"])
    assert lead is not None
    assert lead.value == pytest.approx((0.5 + 0.25) / 2)
    assert one.lead("ce", ["arc_easy"]) is None
    assert one.lead("answers", ["winogrande"]) is None
