"""Zero-shot accuracy through lm-evaluation-harness (extra `eval`).

Gao et al., https://github.com/EleutherAI/lm-evaluation-harness. `acc_norm` divides the
log-likelihood of a choice by its length in characters; tasks have it where the harness has it.
"""

from __future__ import annotations

import copy
import logging
import math
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError, one_line
from evop_deap.base.files import sha256_of_file
from evop_deap.base.numbers import finite_or_none
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
        task: name of the task in the harness.
        metric: `acc`, or `acc_norm` (length-normalised).
        scores: score of each question, 1 for a right answer, in the order of the file.
        version: version of the task in the harness.
        data: SHA-256 of the local file; None where the harness downloaded the data.

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
        """The share of right answers, with its standard error."""
        return mean_of(self.scores)

    def change(self, dense: TaskScore) -> Estimate:
        """Return the difference from the dense model's score, paired by question."""
        return difference_of(self.scores, dense.scores)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the score of each question."""
        return {
            "task": self.task,
            "metric": self.metric,
            "questions": len(self.scores),
            **self.mean.as_dict(),
            "version": self.version,
            "data": self.data,
            "scores": [finite_or_none(score) for score in self.scores],
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
    """Measure zero-shot tasks with the harness.

    Args:
        model: in evaluation mode.
        tokenizer: tokenizer of the model.
        tasks: names of tasks in the harness.
        tasks_from: folder with a JSON lines file for each task; None downloads the data.
        limit: ask only this many first questions of each task; None for all.
        batch_size: choices in a batch.

    Raises:
        InputError: the harness is not installed, does not know a task or cannot load its data.
    """
    check_harness()
    with quiet_transformers(), quiet_datasets(), quiet_harness():
        try:
            found = _run(model, tokenizer, tasks, tasks_from, limit, batch_size)
        except InputError:
            raise
        except Exception as error:  # tasks are programs that raise any error
            reason = one_line(error)[:200]
            raise InputError(f"`tasks` {', '.join(tasks)} cannot be run: {reason}") from error
    return tuple(
        score
        for task, samples in found["samples"].items()
        for score in scores_of(
            task,
            samples,
            found["results"][task],
            str(found["versions"][task]),
            sha256_of_file(task_file(tasks_from, task)) if tasks_from else None,
        )
    )


def _run(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[str],
    folder: Path | None,
    limit: int | None,
    batch_size: int,
) -> Mapping[str, Any]:
    """Return the harness' results, with the samples of each task."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    # A copy, because the harness adds a padding token where there is none.
    own = copy.deepcopy(tokenizer)
    # Not `simple_evaluate`, which seeds the process and collects data about the machine.
    with _manager(tasks, folder) as manager:
        chosen = manager.load([*tasks])
        for task in chosen["tasks"].values():
            task.set_config(key="num_fewshot", value=0)
        wrapped: Any = HFLM(pretrained=model, tokenizer=own, batch_size=batch_size)
        # No bootstrap: standard errors are computed from the paired scores.
        found: Any = lm_eval.evaluate(wrapped, chosen, limit=limit, bootstrap_iters=0)
    return dict(found)


def check_harness(argument: str = "tasks") -> None:
    """Check that the harness is installed.

    Args:
        argument: the user's argument that needs it.

    Raises:
        InputError: it is not installed.
    """
    from importlib.util import find_spec

    if find_spec("lm_eval") is None:
        raise InputError(f"`{argument}` needs lm-evaluation-harness: pip install 'evop_deap[eval]'")


def scores_of(
    task: str,
    samples: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any],
    version: str,
    data: str | None,
) -> list[TaskScore]:
    """Return each metric of a task whose figure is the mean over questions, by filter.

    A filter takes the answer from a text; a task with several logs every question once for each.

    Args:
        task: name of the task.
        samples: the harness' samples, one for each question and filter.
        figures: the harness' own figures, by metric and filter.
        version: of the task.
        data: SHA-256 of the local file, if any.

    Raises:
        InputError: no metric is a mean over questions, such as a perplexity.
    """
    ordered = sorted(samples, key=lambda sample: int(sample["doc_id"]))
    filters = dict.fromkeys(sample["filter"] for sample in ordered)
    found = []
    for name in filters:
        own = [sample for sample in ordered if sample["filter"] == name]
        for metric in own[0]["metrics"]:
            values = [sample[metric] for sample in own]
            whole = figures.get(f"{metric},{name}")
            numbers = all(isinstance(value, int | float) for value in values)
            if numbers and whole is not None and _same(sum(values) / len(values), whole):
                told = f"{metric} {name}" if len(filters) > 1 else metric
                found.append(TaskScore(task, told, tuple(map(float, values)), version, data))
    if not found:
        raise InputError(
            f"`tasks` {task} has no metric that is a mean over questions: take another task"
        )
    return found


def _same(mean: float, whole: float) -> bool:
    """Return whether a figure is this mean; a model that computes NaN has NaN for both."""
    return math.isclose(mean, whole) or (math.isnan(mean) and math.isnan(whole))


@contextmanager
def _manager(tasks: Sequence[str], folder: Path | None) -> Iterator[Any]:
    """Open the harness' task manager, with its own tasks or those on local files."""
    from lm_eval.tasks import TaskManager

    if folder is None:
        yield TaskManager()
        return
    with tempfile.TemporaryDirectory(prefix="evop-tasks-", ignore_cleanup_errors=True) as scratch:
        write_tasks(tasks, folder, Path(scratch))
        yield TaskManager(include_path=scratch, include_defaults=False)


@contextmanager
def quiet_harness() -> Iterator[None]:
    """Log only errors of the harness, and restore the state of Python's `random`."""
    logger = logging.getLogger("lm_eval")
    level, state = logger.level, random.getstate()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        random.setstate(state)  # a dependency draws from it
