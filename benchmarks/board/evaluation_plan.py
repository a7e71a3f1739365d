"""What the board evaluates a pruned model on: perplexity by window, and zero-shot tasks.

The model without its units is built in memory as an export builds it, so that a pattern of
blocks, one of halves and a merge are all evaluated alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_file
from evop_deap.calibration import check_window
from evop_deap.evaluation.perplexity import Perplexity, cut_windows
from evop_deap.evaluation.task_files import check_tasks, task_file
from evop_deap.evaluation.window_losses import window_losses
from evop_deap.evaluation.zero_shot import TaskScore, check_harness, measure_tasks
from evop_deap.text.whole_texts import EvaluationText

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.loading.load_model import LoadedModel


@dataclass(frozen=True, eq=False)
class CutText:
    """A text that models are evaluated on, cut once for all of them.

    Attributes:
        role: what it is to the board: "wiki" or "heldout".
        text: by domain, where it has any.
        window: tokens of a window.
        tokens: of each domain, the first ones; None takes all.
        cut: (windows, window) token ids of each domain.
    """

    role: str
    text: EvaluationText
    window: int
    tokens: int | None
    cut: Mapping[str, NDArray[np.int64]]

    @classmethod
    def of(
        cls, role: str, text: EvaluationText, loaded: LoadedModel, window: int, tokens: int | None
    ) -> CutText:
        """Cut a text for a model.

        Raises:
            InputError: the window does not fit the model, or no domain fills one.
        """
        argument = f"`{role}_window`"
        try:
            check_window(window, loaded.context)
        except InputError as error:
            raise InputError(str(error).replace("`window`", argument, 1)) from error
        most = None if tokens is None else tokens // window
        cut = dict(cut_windows(loaded.tokenizer, text, window=window, max_windows=most))
        if not cut:
            raise InputError(f"{argument} ({window}) is longer than the text of {text.name}")
        return cls(role, text, window, tokens, cut)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the text by its fingerprint."""
        return {
            "role": self.role,
            "name": self.text.name,
            "sha256": self.text.fingerprint,
            "protocol": self.text.protocol,
            "window": self.window,
            "tokens": self.tokens,
        }


@dataclass(frozen=True)
class EvaluationPlan:
    """All that a model is evaluated on.

    Attributes:
        texts: cut into windows.
        tasks: zero-shot tasks by the harness' names.
        tasks_from: folder with their files; None lets the harness fetch them.
        limit: questions of each task, the first ones; None asks all.
        batch_size: choices scored together.
    """

    texts: tuple[CutText, ...]
    tasks: tuple[str, ...] = ()
    tasks_from: Path | None = None
    limit: int | None = None
    batch_size: int = 8

    def check(self) -> None:
        """Refuse at once what cannot be asked.

        Raises:
            InputError: a task without a file, or no harness.
        """
        if self.tasks:
            check_harness()
            if self.tasks_from is not None:
                check_tasks(self.tasks, self.tasks_from)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, texts and task files by their fingerprints."""
        folder = self.tasks_from
        files = {t: sha256_of_file(task_file(folder, t)) if folder else None for t in self.tasks}
        return {
            "texts": [text.as_dict() for text in self.texts],
            "tasks": files,
            "limit": self.limit,
        }


def evaluate_model(
    model: PreTrainedModel, loaded: LoadedModel, plan: EvaluationPlan
) -> dict[str, Any]:
    """Perplexities with each window's loss, task scores with each question's, as JSON values.

    A text that has domains is evaluated by domain; the figure of all of it follows from them.

    Args:
        model: the model to evaluate.
        loaded: the dense model, for its tokenizer.
        plan: the texts and tasks.

    Raises:
        InputError: a task cannot be run.
    """
    perplexities = []
    for text in plan.texts:
        losses = window_losses(model, np.concatenate([*text.cut.values()]))
        ends = np.cumsum([len(windows) for windows in text.cut.values()])[:-1]
        for domain, part in zip(text.cut, np.split(losses, ends), strict=True):
            found = Perplexity(text.text.name, domain, text.window, part)
            perplexities.append({"role": text.role, **_of_perplexity(found)})
    scores: Sequence[TaskScore] = ()
    if plan.tasks:
        scores = measure_tasks(
            model,
            loaded.tokenizer,
            plan.tasks,
            tasks_from=plan.tasks_from,
            limit=plan.limit,
            batch_size=plan.batch_size,
        )
    return {"perplexity": perplexities, "tasks": [_of_task(score) for score in scores]}


def _of_perplexity(found: Perplexity) -> dict[str, Any]:
    """Seven digits of a loss are more than rounding leaves."""
    plain = found.as_dict()
    losses = [None if loss is None else float(f"{loss:.7g}") for loss in plain["losses"]]
    kept = ("text", "domain", "window", "windows", "tokens", "perplexity", "perplexity_error")
    return {**{name: plain[name] for name in kept}, "losses": losses}


def _of_task(score: TaskScore) -> dict[str, Any]:
    """Scores are right or wrong: a digit each."""
    plain = score.as_dict()
    return {**plain, "scores": "".join(str(round(one)) for one in score.scores)}
