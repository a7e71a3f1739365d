"""Multiple-choice questions from JSON lines, asked as lm-evaluation-harness asks them.

A file is named after its task (`arc_easy.dev.jsonl`) and has the fields of the harness. The
harness makes the prompts, so a search asks a question in the very words of the exam.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError, one_line
from evop_deap.base.user_paths import existing_path
from evop_deap.evaluation.question_rows import check_question_rows
from evop_deap.evaluation.task_files import TASKS, write_task
from evop_deap.evaluation.zero_shot import check_harness, quiet_harness
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.text.questions import Option, Question
from evop_deap.text.readers import quiet_datasets

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class WrittenQuestion:
    """A question in words.

    Attributes:
        options: for each option, the text before it, and the option as it follows that text.
        characters: length of each option.
        right: position of the right option.
        place: file and row.
    """

    options: tuple[tuple[str, str], ...]
    characters: tuple[int, ...]
    right: int
    place: str

    def encoded(self, tokenizer: PreTrainedTokenizerBase) -> Question:
        """Return the question as token ids, split where the harness splits text and option."""
        encoded = (_encoded(tokenizer, *option) for option in self.options)
        options = tuple(
            Option(tokens, start, length)
            for (tokens, start), length in zip(encoded, self.characters, strict=True)
        )
        return Question(options, self.right, self.place)


def check_question_files(files: Sequence[str]) -> tuple[Path, ...]:
    """Return the paths of files of questions.

    Raises:
        InputError: the harness is not installed, or a file does not exist, is not named after a
            task, or has a row that is no question of it.
    """
    paths = []
    for name in files:
        path = existing_path(name, "questions")
        if path is None or not path.is_file():
            raise InputError(f"`questions` names {name}, which is not a file")
        if _task_of(path) not in TASKS or path.suffix != ".jsonl":
            raise InputError(
                f"`questions` must be named TASK.jsonl or TASK.PART.jsonl after one of the tasks "
                f"{', '.join(TASKS)}, but got {path.name}"
            )
        check_question_rows(path, _task_of(path), "questions")
        paths.append(path)
    check_harness("questions")
    return tuple(paths)


def read_questions(path: Path) -> list[WrittenQuestion]:
    """Read a file of questions.

    Raises:
        InputError: the file does not have the fields of its task.
    """
    with quiet_transformers(), quiet_datasets(), quiet_harness():
        try:
            return list(_asked(path))
        except InputError:
            raise
        except Exception as error:  # tasks are programs that raise any error
            reason = one_line(error)[:200]
            raise InputError(
                f"`questions` {path} cannot be read as {_task_of(path)}: {reason}"
            ) from error


def _task_of(path: Path) -> str:
    return path.name.split(".")[0]


def _asked(path: Path) -> Iterator[WrittenQuestion]:
    """Yield the questions of a file in order."""
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory(prefix="evop-questions-", ignore_cleanup_errors=True) as place:
        write_task(_task_of(path), path, Path(place))
        manager = TaskManager(include_path=place, include_defaults=False)
        (task,) = manager.load([_task_of(path)])["tasks"].values()
        task.set_config(key="num_fewshot", value=0)
        task.build_all_requests()
        for row, asked in groupby(task.instances, key=lambda instance: instance.doc_id):
            yield _written(task, list(asked), f"{path.name}:{row + 1}")


def _written(task: Any, asked: Sequence[Any], place: str) -> WrittenQuestion:
    """Return a question, given the harness' request for each option."""
    doc, count = asked[0].doc, len(asked)
    # Where the options precede the text, as in Winogrande, the text that follows is the same.
    same = bool(task.multiple_input)
    measured = [request.args[1] for request in asked] if same else task.doc_to_choice(doc)
    lengths = tuple(map(len, measured))
    right = [i for i in range(count) if _is_right(task, doc, i, count)]
    if count < 2 or len(right) != 1 or not all(lengths):
        raise InputError(f"`questions` {place} must have two options or more and one right one")
    options = tuple((request.args[0], request.args[1]) for request in asked)
    return WrittenQuestion(options, lengths, right[0], place)


def _is_right(task: Any, doc: Any, option: int, count: int) -> bool:
    """Return whether the harness counts an answer as right that finds this option likeliest."""
    likelihoods = [(0.0 if place == option else -1.0, False) for place in range(count)]
    return bool(task.process_results(doc, likelihoods)["acc"] == 1.0)


def _encoded(
    tokenizer: PreTrainedTokenizerBase, before: str, option: str
) -> tuple[tuple[int, ...], int]:
    """Return the token ids of a text and an option, and the position of the option's first.

    Spaces at the end of the text go to the option, and without a text there is a special token,
    as in the harness.
    """
    text = before.rstrip()
    option = before[len(text) :] + option
    if not text:
        first = tokenizer.bos_token_id
        first = tokenizer.eos_token_id if first is None else first
        return (first, *tokenizer.encode(option, add_special_tokens=False)), 1
    whole = tuple(tokenizer.encode(text + option))
    return whole, len(tokenizer.encode(text))
