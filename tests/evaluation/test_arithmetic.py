"""Word problems, their answers, and how a model's answers are read and scored."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_models import CONTEXT

from evop_deap.base.errors import InputError
from evop_deap.evaluate import main
from evop_deap.evaluation.arithmetic import measure_level, read_answer
from evop_deap.evaluation.generating import continue_greedily
from evop_deap.evaluation.word_problems import LEVELS, MOST, make_problems
from evop_deap.models.loading.load_model import load_model

STEPS = {"sums": 1, "one-step": 1, "two-step": 2, "three-step": 3}


def worked_out(question: str) -> int:
    """The answer by the words of the question alone."""
    if plain := re.fullmatch(r"What is (\d+) (plus|minus) (\d+)\?", question):
        first, second = int(plain[1]), int(plain[3])
        return first + second if plain[2] == "plus" else first - second
    first_sentence, *others, _ = re.split(r"(?<=\.) ", question)
    now = 1
    for number in re.findall(r"\d+", first_sentence):
        now *= int(number)
    for sentence in others:
        (count,) = map(int, re.findall(r"\d+", sentence))
        now += count if "more" in sentence else -count
    return now


@given(st.sampled_from(sorted(LEVELS)), st.integers(0, 10**6))
def test_an_answer_is_right_and_its_solution_leads_to_it(level: str, seed: int) -> None:
    made = make_problems(level, 5, seed)
    for problem in (*made.examples, *made.problems):
        assert problem.answer == worked_out(problem.question) >= 0
        steps = re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)\.", problem.solution)
        assert len(steps) == STEPS[level]
        for first, sign, second, result in steps:
            a, b = int(first), int(second)
            assert int(result) == {"+": a + b, "-": a - b, "*": a * b}[sign]
        assert read_answer(f" {problem.solution}") == problem.answer


@pytest.mark.parametrize("level", LEVELS)
def test_more_problems_begin_with_the_fewer_and_none_is_an_example(level: str) -> None:
    few, many = (make_problems(level, count, seed=1) for count in (5, 60))
    assert many.problems[:5] == few.problems
    assert many.examples == few.examples
    asked = [problem.question for problem in (*many.examples, *many.problems)]
    assert len(set(asked)) == 63
    assert make_problems(level, 5, seed=2).problems != few.problems


def test_a_prompt_has_the_examples_and_ends_before_the_answer() -> None:
    made = make_problems("two-step", 2, seed=0)
    prompt = made.prompts[1]
    assert prompt.count("The answer is") == 3
    assert prompt.endswith(f"Question: {made.problems[1].question}\nAnswer:")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" 7 + 5 = 12. The answer is 12.\n\nQuestion: 3", 12),
        (" The answer is 1,205 apples, not 3.", 1205),
        ("the ANSWER is $-4.", -4),
        ("\n\n 8 + 4 = 12", 12),
        (" 12-5", 5),
        (" The answer is 12.5", 12.5),
        (" The answer is twelve", None),
        (" 5 apples. The answer is", None),
        ("", None),
    ],
)
def test_the_number_of_an_answer_is_read(text: str, answer: float | None) -> None:
    assert read_answer(text) == answer


def test_a_batch_is_answered_as_each_prompt_alone(toy_checkpoint: Path) -> None:
    loaded = load_model(str(toy_checkpoint))
    model, tokenizer = loaded.model, loaded.tokenizer
    made = make_problems("sums", 4, seed=0)
    found = measure_level(model, tokenizer, made, batch_size=3)
    assert (found.task, found.metric) == ("arithmetic sums", "exact_match")
    right = []
    for prompt, problem in zip(made.prompts, made.problems, strict=True):
        ids = torch.tensor([tokenizer.encode(prompt)])
        written = model.generate(ids, max_new_tokens=46, do_sample=False)  # type: ignore[operator]
        text = tokenizer.decode(written[0, ids.shape[1] :])
        right.append(float(read_answer(text) == problem.answer))
    assert found.scores == tuple(right)


def test_a_continuation_ends_with_its_line(toy_checkpoint: Path) -> None:
    loaded = load_model(str(toy_checkpoint))
    prompt = torch.tensor([loaded.tokenizer.encode("Question: What is 2 plus 2?\nAnswer:")])
    free = continue_greedily(loaded.model, prompt, 12, may_end=True)[0].tolist()
    ended = continue_greedily(loaded.model, prompt, 12, may_end=True, ends=[free[3]])[0].tolist()
    assert ended == free[: free.index(free[3]) + 1]


def test_a_short_context_is_refused_before_anything_is_measured(
    toy_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(toy_checkpoint), "--arithmetic", "2"]) == 2
    assert f"model's context is {CONTEXT}: leave it out" in capsys.readouterr().err


def test_more_problems_than_there_are_different_ones_are_refused(
    toy_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(make_problems("sums", MOST, seed=0).problems) == MOST
    with pytest.raises(InputError, match="`count` must be at most 2,000, but got 2,001"):
        make_problems("sums", MOST + 1, seed=0)
    assert main([str(toy_checkpoint), "--arithmetic", str(MOST + 1)]) == 2
    assert "at most 2000, but got 2001" in capsys.readouterr().err


@pytest.mark.slow
def test_evaluate_compares_arithmetic_with_the_dense_model(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = shutil.copytree(toy_checkpoint, tmp_path / "long")
    config = json.loads((long / "config.json").read_text())
    (long / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 1024}))
    report = tmp_path / "report.json"
    words = [str(long), "--against", str(long), "--arithmetic", "2", "--json", str(report)]
    assert main(words) == 0
    assert "arithmetic two-step exact_match (2)" in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert [one["metric"] for one in found["model"]["arithmetic"]] == ["exact_match"] * 4
    assert [one["value"] for one in found["comparison"]["arithmetic"]] == [0.0] * 4
    assert found["model"]["tasks"] == []
