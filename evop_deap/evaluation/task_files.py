"""Zero-shot tasks on local files, in the task format of lm-evaluation-harness.

A task is the harness' definition (prompt, choices, metrics) with a JSON lines file as its data.
Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.evaluation.question_rows import check_question_rows


@dataclass(frozen=True)
class _Definition:
    """The harness' file of a task, and the changes to it for a local file."""

    file: str
    changes: Mapping[str, Any] = field(default_factory=dict)


# HellaSwag rows must be preprocessed ({query, choices, gold}), as the harness does it.
_PREPROCESSED = {"process_docs": None, "doc_to_target": "{{gold}}"}

TASKS = {
    "piqa": _Definition("piqa/piqa.yaml"),
    "arc_easy": _Definition("arc/arc_easy.yaml"),
    "arc_challenge": _Definition("arc/arc_challenge.yaml"),
    "winogrande": _Definition("winogrande/default.yaml"),
    "hellaswag": _Definition("hellaswag/hellaswag.yaml", _PREPROCESSED),
    "openbookqa": _Definition("openbookqa/openbookqa.yaml"),
}
"""Tasks for local files, by the harness' names."""


def task_file(folder: Path, task: str) -> Path:
    """Return a task's file: `TASK.jsonl`, `TASK.test.jsonl`, or the only `TASK.*.jsonl`.

    Raises:
        InputError: there is no such file, or several.
    """
    for name in (f"{task}.jsonl", f"{task}.test.jsonl"):
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob(f"{task}.*.jsonl")) if folder.is_dir() else []
    if len(found) == 1:
        return found[0]
    seen = f"it holds {', '.join(path.name for path in found)}" if found else "there is none"
    raise InputError(f"`tasks_from` {folder} must hold {task}.jsonl, but {seen}")


def check_tasks(tasks: Sequence[str], folder: Path) -> None:
    """Refuse tasks that cannot be read from a folder.

    Raises:
        InputError: an unknown task, one without a file in `folder`, or a row that is no question.
    """
    for task in tasks:
        if task not in TASKS:
            raise InputError(
                f"`tasks` with `tasks_from` must be among {', '.join(TASKS)}, but got '{task}'"
            )
        check_question_rows(task_file(folder, task), task, "tasks_from")


def write_tasks(tasks: Sequence[str], folder: Path, target: Path) -> None:
    """Write a YAML file for each task into `target`, for the harness' `include_path`.

    Raises:
        InputError: an unknown task, or one without a file in `folder`.
    """
    check_tasks(tasks, folder)
    for task in tasks:
        write_task(task, task_file(folder, task), target)


def write_task(task: str, rows: Path, target: Path) -> None:
    """Write the YAML file of a task on a file of JSON lines into `target`.

    Args:
        task: a key of `TASKS`.
        rows: the file.
        target: a folder for the harness' `include_path`.
    """
    import yaml
    from lm_eval import tasks as harness

    definition = {
        "include": str(Path(harness.__file__).parent / TASKS[task].file),
        "task": task,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {
            "data_files": {"test": str(rows.absolute())},
            "cache_dir": str(target / "cache"),
        },
        "training_split": None,
        "validation_split": None,
        "test_split": "test",
        **TASKS[task].changes,
    }
    (target / f"{task}.yaml").write_text(yaml.safe_dump(definition), encoding="utf-8")
