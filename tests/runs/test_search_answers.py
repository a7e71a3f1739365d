"""Searches by the answers to multiple-choice questions, from the settings to the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evop_deap
from evop_deap.base.errors import InputError
from evop_deap.evolution.state import EvolutionState
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.runs.draw_questions import split_questions
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.stages.prepare import prepare
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.runs.storage.result import result_table
from evop_deap.search import main
from evop_deap.settings.search_config import SearchConfig
from evop_deap.text.questions import Option, Question

LETTERS = ["A", "B", "C", "D"]
ENDS = ["the sea", "a river", "no", "two letters", "the word", "a full block"]


def rows(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    return [
        {
            "question": f"What is {i}?",
            "choices": {"text": rng.permutation(ENDS)[:4].tolist(), "label": LETTERS},
            "answerKey": LETTERS[i % 4],
        }
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def settings(
    run_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("questions") / "arc_easy.dev.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows(60), *rows(3)]))
    common = ("model", "corpus", "window", "population", "tournament", "offspring", "generations")
    return {
        **{name: run_settings[name] for name in common},
        "fitness": "answers", "questions": (str(path),), "tokens": 1024, "heldout_tokens": 256,
        "compensation_tokens": 256, "compensate": "off", "sparsity": 0.4, "cache": False,
    }  # fmt: skip


class Told(Progress):
    """Keeps the stages, and interrupts the run after a generation."""

    def __init__(self, end: int = -1) -> None:
        self.end = end
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def generation(self, state: Any) -> None:
        if isinstance(state, EvolutionState) and state.generation == self.end:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("answers") / "run"
    evop_deap.run_search(SearchConfig(**settings), output)
    return output


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_questions_are_searched_on_and_others_reported(
    settings: dict[str, Any], finished: Path
) -> None:
    result, drawn = read(finished / "result.json"), read(finished / "calibration.json")["questions"]
    parts = [set(drawn[part]["places"]) for part in ("calibration", "validation", "heldout")]
    assert not parts[0] & parts[1] | parts[1] & parts[2] | parts[0] & parts[2]
    about, told = result["answers"], Told()
    assert [about[n] for n in ("searched", "validation", "heldout")] == [len(p) for p in parts]
    subject = prepare(SearchConfig(**settings), told)
    assert "63 read" in " ".join(told.stages)
    assert subject.questions is not None
    pruned = tuple(int(unit.name in result["kept"]) for unit in subject.space.units)
    for name, part in (("fitness", subject.questions.calibration), ("", subject.questions.heldout)):
        plain = ReferenceEvaluator(
            subject.loaded.model, subject.anatomy, part.tokens, fitness="answers"
        )
        expected = plain.evaluate([subject.space.dense, pruned]).losses.tolist()
        of = result[name] if name else about["loss"]
        assert [of["dense"], of["pruned"]] == pytest.approx(expected, abs=1e-5)
    assert result["fitness"]["name"] == "answers"
    assert result["evaluator"] == "PopulationEvaluator"
    assert 0 <= about["accuracy"]["pruned"] <= 1
    # Perplexity is told all the same, of text.
    assert result["heldout"]["perplexity"]["pruned"] > result["heldout"]["perplexity"]["dense"]


def test_the_result_is_told_in_the_words_of_questions(finished: Path) -> None:
    card, page = ((finished / name).read_text() for name in ("model/README.md", "report.html"))
    assert "evolutionary search on the answers to multiple-choice questions" in card
    assert "| right answers, " in card
    assert "held-out questions, the dense model answers " in page
    result = load_run(finished).result
    assert result is not None
    assert result.answers is not None
    assert f"{result.answers['heldout']} held-out questions answered right" in result_table(result)


def test_a_resumed_search_by_answers_ends_like_an_uninterrupted_one(
    settings: dict[str, Any], finished: Path, tmp_path: Path
) -> None:
    config = SearchConfig(**settings)
    with pytest.raises(KeyboardInterrupt):
        evop_deap.run_search(config, tmp_path / "run", progress=Told(1))
    again = evop_deap.run_search(config, tmp_path / "run", resume=True).as_dict()
    whole = read(finished / "result.json")
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}


def test_a_sum_of_two_fitnesses_is_searched_resumed_and_shared(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path / "cache"))
    changes = {"fitness": "ce+0.5*answers", "init": ("balanced",)}
    config = SearchConfig(**{**settings, **changes})
    whole = evop_deap.run_search(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        evop_deap.run_search(config, tmp_path / "run", progress=Told(1))
    again = evop_deap.run_search(config, tmp_path / "run", resume=True)
    assert {**again.as_dict(), "seconds": 0} == {**whole.as_dict(), "seconds": 0}
    subject = prepare(config, Progress())
    assert len(subject.searched.calibration.tokens) > 2
    plain = subject.evaluators.plain(subject.searched.calibration.tokens)
    pruned = tuple(int(unit.name in whole.kept) for unit in subject.space.units)
    expected = plain.evaluate([subject.space.dense, pruned]).losses.tolist()
    assert [whole.fitness.dense, whole.fitness.pruned] == pytest.approx(expected, abs=1e-5)
    assert whole.answers is not None
    shared = [evop_deap.run_search(config.replace(cache=True), tmp_path / n) for n in ("1", "2")]
    assert shared[1].cache_hits == shared[1].evaluations
    assert shared[1].work["head_tokens"] == 0
    assert shared[0].cost == shared[1].cost == whole.cost


def test_losses_of_questions_are_shared_with_later_searches(
    settings: dict[str, Any], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path / "cache"))
    config = SearchConfig(**{**settings, "cache": True})
    first, again = (evop_deap.run_search(config, tmp_path / name) for name in ("one", "two"))
    assert again.cache_hits == again.evaluations
    assert again.executed < first.executed  # the heuristics of the first patterns run again
    whole = read(finished / "result.json")
    for result in (first, again):
        assert result.cost == whole["cost"]
        assert result.as_dict()["fitness"] == whole["fitness"]


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "laco"},
        {"method": "evopress", "max_evaluations": 8},
        {"pareto": "parameters", "population": 16, "generations": 1},
        {"sparsity": (0.2, 0.4), "granularity": "half", "surrogate": "linear"},
        {"compensate": "map", "racing": "off"},
        {"fitness": "kl+2*answers", "compensate": "map"},
        {
            "calibration": "ccds",
            "embedding": "tfidf",
            "reducer": "pca",
            "min_cluster_size": 5,
            "select": "response",
            "weighting": "cluster",
        },
    ],
    ids=str,
)
def test_it_goes_with_everything_else_of_a_search(
    changes: dict[str, Any], settings: dict[str, Any], tmp_path: Path
) -> None:
    config = SearchConfig(**{**settings, "generations": 1, **changes})
    found = evop_deap.run_search(config, tmp_path / "run")
    results = getattr(found, "results", [found])
    for result in results:
        assert result.fitness.name == config.fitness
        assert np.isfinite(result.fitness.pruned)
        assert result.answers is not None


def test_more_tokens_add_questions_and_change_none() -> None:
    asked = [
        Question((Option((1, i), 1, 1), Option((2, i, i), 1, 2)), 0, str(i)) for i in range(40)
    ]
    small, large = (
        split_questions(asked, np.random.default_rng(1), tokens=tokens, heldout_tokens=9)
        for tokens in (20, 50)
    )
    first, more = small.calibration.tokens.asked, large.calibration.tokens.asked
    assert more[: len(first)] == first
    assert len(more) > len(first)
    assert small.heldout.fingerprint == large.heldout.fingerprint
    assert small.calibration.tokens.size <= 20
    with pytest.raises(InputError, match="`tokens` must hold two questions .* 5 hold 1: 6 would"):
        split_questions(asked, np.random.default_rng(1), tokens=5, heldout_tokens=9)
    with pytest.raises(InputError, match="`questions` must hold 8 different questions"):
        split_questions(asked[:7], np.random.default_rng(1), tokens=50, heldout_tokens=9)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--fitness", "answers"], "`fitness` answers and `questions` need each other"),
        (["--fitness", "ce+x*answers"], "`fitness` must be 'ce' or 'kl' or 'answers', or a sum"),
        (
            ["--fitness", "ce+answers", "--questions", "x", "--method", "laco"],
            "`method` laco merges blocks, which no sum evaluates",
        ),
        (["--questions", "arc_easy.jsonl"], "1 files of questions with `fitness` ce"),
        (["--fitness", "answers", "--questions", "no.jsonl"], "`questions` names no.jsonl, which"),
    ],
)
def test_questions_and_fitness_that_do_not_go_together_are_refused_in_one_line(
    flags: list[str], says: str, toy_checkpoint: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command = ["--model", str(toy_checkpoint), "--sparsity", "0.4", "--output"]
    assert main([*command, str(tmp_path / "run"), *flags]) == 2
    _, err = capsys.readouterr()
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
