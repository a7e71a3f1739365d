"""Zero-shot tasks on local files, through the harness' own definitions."""

from __future__ import annotations

import json
import logging
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from evop_deap.base.errors import InputError
from evop_deap.evaluation.question_files import check_question_files, read_questions
from evop_deap.evaluation.task_files import TASKS, check_tasks, task_file
from evop_deap.evaluation.zero_shot import TaskScore, measure_tasks, scores_of
from evop_deap.fitness.answer_losses import answered_right
from evop_deap.fitness.model.option_likelihoods import likelihoods_of
from evop_deap.fitness.model.right_answers import right_answers
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.text.questions import Questions

_LETTERS = ["A", "B", "C", "D"]
_ENDINGS = ["the sea", "a river that runs", "no", "two letters"]


def _arc(i: int) -> dict[str, Any]:
    choices = {"text": _ENDINGS, "label": _LETTERS}
    return {"question": f"What is {i}?", "choices": choices, "answerKey": _LETTERS[i % 4]}


ROWS: dict[str, Callable[[int], dict[str, Any]]] = {
    "piqa": lambda i: {"goal": f"Go {i}", "sol1": "by sea", "sol2": "run", "label": i % 2},
    "arc_easy": _arc,
    "arc_challenge": _arc,
    "winogrande": lambda i: {
        "sentence": f"The letter {i} is longer than the word, so _ is full.",
        "option1": "the letter",
        "option2": "the word",
        "answer": str(1 + i % 2),
    },
    "hellaswag": lambda i: {"query": f"She wrote {i}", "choices": _ENDINGS, "gold": i % 4},
    "openbookqa": lambda i: {"question_stem": f"Block {i} is", **_without_question(_arc(i))},
}


def _without_question(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "question"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six questions of each task, in the files' own formats."""
    folder = tmp_path_factory.mktemp("tasks")
    for task, row in ROWS.items():
        name = f"{task}.test.jsonl" if task.startswith("arc") else f"{task}.jsonl"
        (folder / name).write_text("".join(json.dumps(row(i)) + "\n" for i in range(6)))
    return folder


@pytest.fixture(scope="module")
def model(toy_checkpoint: Path) -> PreTrainedModel:
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(toy_checkpoint)
    return loaded.eval()


@pytest.fixture(scope="module")
def scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> tuple[TaskScore, ...]:
    return measure_tasks(model, tokenizer, [*TASKS], tasks_from=folder)


def test_every_task_has_the_metrics_of_the_harness(scores: tuple[TaskScore, ...]) -> None:
    found = {(score.task, score.metric) for score in scores}
    both = {(task, metric) for task in TASKS for metric in ("acc", "acc_norm")}
    assert found == both - {("winogrande", "acc_norm")}
    assert {len(score.scores) for score in scores} == {6}
    assert {score.version for score in scores} == {"1.0"}


@pytest.mark.parametrize(
    ("task", "asked", "choices", "gold"),
    [
        ("piqa", lambda i: [f"Question: Go {i}\nAnswer:"] * 2, [" by sea", " run"], 2),
        ("hellaswag", lambda i: [f"She wrote {i}"] * 4, [f" {e}" for e in _ENDINGS], 4),
        ("openbookqa", lambda i: [f"Block {i} is"] * 4, [f" {e}" for e in _ENDINGS], 4),
        (
            "winogrande",
            lambda i: [f"The letter {i} is longer than the word, so the {w}" for w in
                       ("letter", "word")],
            [" is full."] * 2,
            2,
        ),
    ],
)  # fmt: skip
def test_an_answer_is_the_likelier_choice_by_hand(
    task: str,
    asked: Callable[[int], list[str]],
    choices: list[str],
    gold: int,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    scores: tuple[TaskScore, ...],
) -> None:
    def likelihood(before: str, choice: str) -> float:
        start = len(tokenizer(before).input_ids)
        ids = torch.tensor([tokenizer(before + choice).input_ids])
        with torch.no_grad():
            logs = model(ids).logits[0].log_softmax(-1)
        return sum(float(logs[i - 1, ids[0, i]]) for i in range(start, ids.shape[1]))

    expected: dict[str, list[float]] = {"acc": [], "acc_norm": []}
    for i in range(6):
        logs = [likelihood(b, c) for b, c in zip(asked(i), choices, strict=True)]
        # The harness counts the characters of a choice without the space before it.
        scaled = [value / (len(c) - 1) for value, c in zip(logs, choices, strict=True)]
        for metric, values in (("acc", logs), ("acc_norm", scaled)):
            expected[metric].append(float(values.index(max(values)) == i % gold))
    for score in scores:
        if score.task == task:
            assert list(score.scores) == expected[score.metric]


def test_the_standard_error_is_the_harness_own(scores: tuple[TaskScore, ...]) -> None:
    from lm_eval.api.metrics import mean_stderr

    for score in scores:
        assert score.mean.error == pytest.approx(mean_stderr([*score.scores]))


def test_every_filter_has_a_score_of_its_own_and_only_means_are_scores() -> None:
    samples = [
        {"doc_id": place, "filter": name, "metrics": ["match", "perplexity"], "match": right,
         "perplexity": -3.0}
        for place in (1, 0)
        for name, right in (("strict", 0), ("flexible", 1 - place))
    ]  # fmt: skip
    figures = {
        "match,strict": 0.0, "match,flexible": 0.5,
        "perplexity,strict": 20.1, "perplexity,flexible": 20.1,
    }  # fmt: skip
    found = scores_of("sums", samples, figures, "3.0", None)
    assert {score.metric: score.scores for score in found} == {
        "match strict": (0.0, 0.0),
        "match flexible": (1.0, 0.0),
    }
    alone = [sample for sample in samples if sample["filter"] == "strict"]
    assert [score.metric for score in scores_of("sums", alone, figures, "3.0", None)] == ["match"]
    with pytest.raises(InputError, match="sums has no metric that is a mean over questions"):
        scores_of("sums", samples, {"perplexity,strict": 20.1}, "3.0", None)


def test_a_metric_that_is_nan_or_infinite_on_a_question_stays_a_score() -> None:
    for odd in (math.nan, -math.inf):
        samples = [
            {"doc_id": i, "filter": "none", "metrics": ["acc", "likelihood"], "acc": 1.0,
             "likelihood": value}
            for i, value in enumerate((-0.5, odd))
        ]  # fmt: skip
        figures = {"acc,none": 1.0, "likelihood,none": odd}
        found = scores_of("t", samples, figures, "1", None)
        assert [score.metric for score in found] == ["acc", "likelihood"]
        told = json.loads(json.dumps(found[1].as_dict(), allow_nan=False))
        assert (told["value"], told["scores"]) == (None, [-0.5, None])


def test_a_limit_takes_the_first_questions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    scores: tuple[TaskScore, ...],
) -> None:
    states = random.getstate(), torch.get_rng_state().tolist()
    found = measure_tasks(model, tokenizer, ["piqa"], tasks_from=folder, limit=4, batch_size=3)
    assert (random.getstate(), torch.get_rng_state().tolist()) == states
    whole = [score for score in scores if score.task == "piqa"]
    assert [score.scores for score in found] == [score.scores[:4] for score in whole]


def test_what_is_compared_is_compared_question_by_question() -> None:
    dense = TaskScore("t", "acc", (1.0, 1.0, 0.0, 0.0), "1", None)
    same = TaskScore("t", "acc", (0.0, 1.0, 0.0, 0.0), "1", None)
    assert same.change(dense).value == -0.25
    assert same.change(dense).error == pytest.approx(0.25)


def test_rows_that_do_not_fit_a_task_are_one_line(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "piqa.jsonl").write_text('{"question": "Why?"}\n')
    says = "`tasks_from` .*line 1 of piqa: goal must be a text"
    with pytest.raises(InputError, match=says) as refused:
        measure_tasks(model, tokenizer, ["piqa"], tasks_from=tmp_path)
    assert len(str(refused.value).splitlines()) == 1
    assert capfd.readouterr().err == ""
    assert logging.getLogger("lm_eval").level != logging.ERROR


def test_a_task_that_is_not_known_here_is_refused(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    with pytest.raises(InputError, match="among piqa, arc_easy, .* but got 'boolq'"):
        measure_tasks(model, tokenizer, ["boolq"], tasks_from=folder)


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["piqa.jsonl", "piqa.test.jsonl"], "piqa.jsonl"),
        (["piqa.dev.jsonl", "piqa.test.jsonl"], "piqa.test.jsonl"),
        (["piqa.2k.jsonl", "arc_easy.jsonl"], "piqa.2k.jsonl"),
        (["piqa.a.jsonl", "piqa.b.jsonl"], None),
        (["piqa.txt"], None),
        ([], None),
    ],
)
def test_the_file_of_a_task_is_the_one_that_cannot_be_mistaken(
    files: list[str], chosen: str | None, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).touch()
    if chosen is not None:
        assert task_file(tmp_path, "piqa") == tmp_path / chosen
        return
    with pytest.raises(InputError, match=r"must hold piqa\.jsonl"):
        task_file(tmp_path, "piqa")


@pytest.mark.parametrize("task", TASKS)
def test_questions_are_answered_as_the_harness_has_them_answered(
    task: str,
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    scores: tuple[TaskScore, ...],
) -> None:
    written = read_questions(task_file(folder, task))
    questions = Questions(tuple(question.encoded(tokenizer) for question in written))
    found = likelihoods_of(model, questions)
    right = [
        float(answered_right(each, question))
        for each, question in zip(found, questions.asked, strict=True)
    ]
    metric = "acc" if task == "winogrande" else "acc_norm"
    (score,) = (one for one in scores if (one.task, one.metric) == (task, metric))
    assert right == list(score.scores)
    anatomy = find_anatomy(model)
    (together,) = right_answers(model, anatomy, [(1,) * len(anatomy.blocks)], questions)
    assert together.tolist() == [bool(one) for one in score.scores]
    assert written[5].place == f"{task_file(folder, task).name}:6"
    assert all(len(question.options) >= 2 for question in questions.asked)


@pytest.mark.parametrize(
    ("task", "change", "says"),
    [
        ("piqa", {"goal": None}, "goal must be a text, but is None"),
        ("piqa", {"sol2": " "}, "sol2 must be a text, but is ' '"),
        ("piqa", {"label": 2}, "label must be one of 0, 1, but is 2"),
        ("piqa", {"label": True}, "label must be one of 0, 1, but is True"),
        ("arc_easy", {"question": 5}, "question must be a text, but is 5"),
        ("arc_easy", {"answerKey": "E"}, "answerKey must be one of 'A', 'B', 'C', 'D', but is 'E'"),
        ("arc_challenge", {"choices": ["x", "y"]}, "choices must be an object"),
        ("openbookqa", {"question_stem": ""}, "question_stem must be a text"),
        ("openbookqa", {"choices": {"text": ["x"], "label": ["A"]}}, "must be two texts or more"),
        ("openbookqa", {"choices": {"text": ["x", "y"], "label": ["A"]}}, "one for each text"),
        ("winogrande", {"sentence": "nothing"}, "sentence must have _ for the option"),
        ("winogrande", {"answer": 1}, "answer must be one of '1', '2', but is 1"),
        ("hellaswag", {"gold": 4}, "gold must be one of 0, 1, 2, 3, but is 4"),
        ("hellaswag", {"endings": []}, "the published fields must be preprocessed"),
    ],
)
def test_a_row_that_is_no_question_is_told_with_its_line_and_field(
    task: str, change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    rows = [ROWS[task](0), {**ROWS[task](1), **change}]
    path = tmp_path / f"{task}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=f"`questions` .*, line 2 of {task}: .*{re.escape(says)}"):
        check_question_files([str(path)])
    with pytest.raises(InputError, match=f"`tasks_from` .*, line 2 of {task}: "):
        check_tasks([task], tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no question"),
        ("\n\n", "holds no question"),
        ("null\n", "line 1 of piqa: must hold an object, but holds None"),
        ('{"goal": "Go"\n', "line 1 of piqa: "),
    ],
)
def test_a_file_without_questions_is_refused(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "piqa.jsonl").write_text(content)
    with pytest.raises(InputError, match=f"`questions` .*{says}"):
        check_question_files([str(tmp_path / "piqa.jsonl")])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.jsonl", "`questions` names .*nowhere.jsonl, which is not a file"),
        ("mine.jsonl", "`questions` must be named TASK.jsonl or TASK.PART.jsonl .* got mine.jsonl"),
        ("piqa.json", "but got piqa.json"),
    ],
)
def test_a_file_of_questions_is_named_after_its_task(name: str, says: str, tmp_path: Path) -> None:
    if name != "nowhere.jsonl":
        (tmp_path / name).write_text("{}\n")
    with pytest.raises(InputError, match=says):
        check_question_files([str(tmp_path / name)])
