"""What a row of a task's file must hold, in the fields that lm-evaluation-harness reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evop_deap.base.data_files import parse_json, read_utf8
from evop_deap.base.errors import InputError
from evop_deap.base.user_text import shown

Row = Mapping[str, Any]


def check_question_rows(path: Path, task: str, argument: str) -> None:
    """Refuse a file of JSON lines with a row that the harness cannot ask.

    Args:
        path: the file.
        task: one of `TASKS`.
        argument: the user's name for the file or its folder.

    Raises:
        InputError: there is no row, or a field of a row is missing or of another kind.
    """
    count = 0
    for number, line in enumerate(read_utf8(path, f"`{argument}` {path}").split("\n"), start=1):
        if not line.strip():
            continue
        count += 1
        try:
            row = parse_json(line)
            if not isinstance(row, dict):
                raise InputError(f"must hold an object, but holds {shown(row)}")
            _CHECKS[task](row)
        except InputError as error:
            raise InputError(f"`{argument}` {path}, line {number} of {task}: {error}") from error
    if not count:
        raise InputError(f"`{argument}` {path} holds no question")


def _piqa(row: Row) -> None:
    _check_texts(row, "goal", "sol1", "sol2")
    _check_one_of(row, "label", [0, 1])


def _arc(row: Row) -> None:
    _check_texts(row, "question")
    _check_lettered(row)


def _openbookqa(row: Row) -> None:
    _check_texts(row, "question_stem")
    _check_lettered(row)


def _winogrande(row: Row) -> None:
    _check_texts(row, "sentence", "option1", "option2")
    if "_" not in row["sentence"]:
        raise InputError(f"sentence must have _ for the option, but is {shown(row['sentence'])}")
    _check_one_of(row, "answer", ["1", "2"])


def _hellaswag(row: Row) -> None:
    if "endings" in row:
        raise InputError(
            "the published fields must be preprocessed as the harness does it: give query, choices "
            "and gold"
        )
    _check_texts(row, "query")
    _check_options(row.get("choices"), "choices")
    _check_one_of(row, "gold", list(range(len(row["choices"]))))


def _check_lettered(row: Row) -> None:
    """Check the options of ARC and OpenBookQA, and the label of the right one."""
    choices = row.get("choices")
    if not isinstance(choices, dict):
        raise InputError(f"choices must be an object, but is {shown(choices)}")
    _check_options(choices.get("text"), "choices.text")
    labels = choices.get("label")
    if not isinstance(labels, list) or len(labels) != len(choices["text"]):
        raise InputError(f"choices.label must have one for each text, but is {shown(labels)}")
    _check_one_of(row, "answerKey", labels)


def _check_texts(row: Row, *names: str) -> None:
    for name in names:
        if not _is_text(row.get(name)):
            raise InputError(f"{name} must be a text, but is {shown(row.get(name))}")


def _check_options(options: Any, name: str) -> None:
    if not isinstance(options, list) or len(options) < 2 or not all(map(_is_text, options)):
        raise InputError(f"{name} must be two texts or more, but is {shown(options)}")


def _check_one_of(row: Row, name: str, known: list[Any]) -> None:
    value = row.get(name)
    if type(value) not in {type(one) for one in known} or value not in known:
        among = ", ".join(map(str, map(shown, known)))
        raise InputError(f"{name} must be one of {among}, but is {shown(value)}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


_CHECKS: Mapping[str, Callable[[Row], None]] = {
    "piqa": _piqa,
    "arc_easy": _arc,
    "arc_challenge": _arc,
    "winogrande": _winogrande,
    "hellaswag": _hellaswag,
    "openbookqa": _openbookqa,
}
