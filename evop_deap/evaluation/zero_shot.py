"""Zero-shot accuracy through lm-evaluation-harness (extra `eval`).

Gao et al., https://github.com/EleutherAI/lm-evaluation-harness. `acc_norm` divides the
log-likelihood of a choice by its length in characters; tasks have it where the harness' do.
"""

from __future__ import annotations

import copy
import logging
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError, one_line
from evop_deap.base.files import sha256_of_file
from evop_deap.evaluation.estimates import Estimate, difference_of, mean_of
from evop_deap.evaluation.task_files import task_file, write_tasks
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.text.readers import quiet_datasets

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class TaskScore:
    """A metric of a task, question by question.

    Attributes:
        task: the harness' name.
        metric: `acc`, or `acc_norm`, length-normalised.
        scores: of each question, 1 for a right answer, in the order of the file.
        version: of the harness' definition of the task.
        data: SHA-256 of the local file; None where the harness fetched its own.

    Example:
        >>> dense = TaskScore("piqa", "acc", (1.0, 1.0, 0.0, 1.0), "1.0", None)
        >>> pruned = TaskScore("piqa", "acc", (1.0, 0.0, 0.0, 1.0), "1.0", None)
        >>> pruned.mean.value, pruned.change(dense).value
        (0.5, -0.25)
    """

    task: str
    metric: str
    scores: tuple[float, ...]
    version: str
    data: str | None

    @property
    def mean(self) -> Estimate:
        """The share of right answers, with the harness' standard error."""
        return mean_of(self.scores)

    def change(self, dense: TaskScore) -> Estimate:
        """How far above the dense model's it is, question by question."""
        return difference_of(self.scores, dense.scores)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, every question's score among them."""
        return {
            "task": self.task,
            "metric": self.metric,
            "questions": len(self.scores),
            **self.mean.as_dict(),
            "version": self.version,
            "data": self.data,
            "scores": list(self.scores),
        }


def measure_tasks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[str],
    *,
    tasks_from: Path | None = None,
    limit: int | None = None,
    batch_size: int = 8,
) -> tuple[TaskScore, ...]:
    """Ask a model the questions of some tasks, without examples before them.

    Args:
        model: in evaluation mode.
        tokenizer: the model's own.
        tasks: names as the harness has them.
        tasks_from: a folder with a JSON lines file for each; None lets the harness fetch them.
        limit: questions of each task, the first ones; None asks all.
        batch_size: choices scored together.

    Raises:
        InputError: the harness is not installed, or has no such task or cannot get its data.
    """
    check_harness()
    with quiet_transformers(), quiet_datasets(), _quiet_harness():
        try:
            found = _run(model, tokenizer, tasks, tasks_from, limit, batch_size)
        except InputError:
            raise
        except Exception as error:  # the harness' tasks are programs of many hands
            reason = one_line(error)[:200]
            raise InputError(f"`tasks` {', '.join(tasks)} cannot be run: {reason}") from error
    return tuple(
        score
        for task, samples in found["samples"].items()
        for score in _scores(task, samples, str(found["versions"][task]), tasks_from)
    )


def _run(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[str],
    folder: Path | None,
    limit: int | None,
    batch_size: int,
) -> Mapping[str, Any]:
    """What the harness has to say, question by question."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    # A copy, for the harness gives a tokenizer without padding some.
    own = copy.deepcopy(tokenizer)
    # Not `simple_evaluate`, which seeds the process and takes stock of the machine.
    with _manager(tasks, folder) as manager:
        chosen = manager.load([*tasks])
        for task in chosen["tasks"].values():
            task.set_config(key="num_fewshot", value=0)
        wrapped: Any = HFLM(pretrained=model, tokenizer=own, batch_size=batch_size)
        # Errors are taken from the scores, and in pairs: nothing is drawn again and again.
        found: Any = lm_eval.evaluate(wrapped, chosen, limit=limit, bootstrap_iters=0)
    return dict(found)


def check_harness() -> None:
    """Refuse where the harness is not installed.

    Raises:
        InputError: it is not.
    """
    from importlib.util import find_spec

    if find_spec("lm_eval") is None:
        raise InputError("`tasks` needs lm-evaluation-harness: pip install 'evop_deap[eval]'")


def _scores(
    task: str, samples: Sequence[Mapping[str, Any]], version: str, folder: Path | None
) -> Iterator[TaskScore]:
    """Each metric of a task that is a number a question, in the order of the questions."""
    ordered = sorted(samples, key=lambda sample: int(sample["doc_id"]))
    data = sha256_of_file(task_file(folder, task)) if folder else None
    for metric in ordered[0]["metrics"]:
        values = [sample[metric] for sample in ordered]
        if all(isinstance(value, int | float) for value in values):
            yield TaskScore(task, metric, tuple(map(float, values)), version, data)


@contextmanager
def _manager(tasks: Sequence[str], folder: Path | None) -> Iterator[Any]:
    """The harness' index of tasks: its own, or those on local files."""
    from lm_eval.tasks import TaskManager

    if folder is None:
        yield TaskManager()
        return
    with tempfile.TemporaryDirectory(prefix="evop-tasks-", ignore_cleanup_errors=True) as scratch:
        write_tasks(tasks, folder, Path(scratch))
        yield TaskManager(include_path=scratch, include_defaults=False)


@contextmanager
def _quiet_harness() -> Iterator[None]:
    """Only errors of the harness are shown, and Python's own generator stays as it is."""
    logger = logging.getLogger("lm_eval")
    level, state = logger.level, random.getstate()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        random.setstate(state)  # a library below draws from it for names of its own
