"""The board's evaluation of a pruned model: perplexity by window, tasks, generated text.

The pruned model is built in memory as in an export, so that patterns of blocks, patterns of halves
and merges are all evaluated in the same way.
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
from evop_deap.evaluation.arithmetic import measure_arithmetic
from evop_deap.evaluation.degeneracy import measure_degeneracy
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
    """A text that models are evaluated on, cut into windows once for all of them.

    Attributes:
        role: its role on the board: "wiki" or "heldout".
        text: the text, by domain if it has domains.
        window: tokens of a window.
        tokens: number of first tokens of each domain to use; None uses all.
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
        """Cut a text into windows for a model.

        Raises:
            InputError: the window is too long for the model, or no domain fills one.
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
        """Plain JSON values, with the fingerprint of the text."""
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
    """The texts and tasks that a model is evaluated on.

    Attributes:
        texts: the texts, cut into windows.
        tasks: names of zero-shot tasks in lm-evaluation-harness.
        tasks_from: folder with their files; None lets the harness fetch them.
        limit: number of first questions of each task to use; None uses all.
        batch_size: number of answers scored in one batch.
        arithmetic: number of word problems of each level.
        prompts: (rows, tokens) beginnings of windows that are continued greedily.
        together: whether the tasks are answered by all patterns of a board at once.
    """

    texts: tuple[CutText, ...]
    tasks: tuple[str, ...] = ()
    tasks_from: Path | None = None
    limit: int | None = None
    batch_size: int = 8
    arithmetic: int = 0
    prompts: NDArray[np.int64] | None = None
    together: bool = False

    def check(self) -> None:
        """Check that the tasks can be run.

        Raises:
            InputError: a task has no file, or the harness is not installed.
        """
        if self.tasks:
            check_harness()
            if self.tasks_from is not None:
                check_tasks(self.tasks, self.tasks_from)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the fingerprints of texts and task files."""
        folder = self.tasks_from
        files = {t: sha256_of_file(task_file(folder, t)) if folder else None for t in self.tasks}
        prompts = {} if self.prompts is None else {"prompts": len(self.prompts)}
        return {
            "texts": [text.as_dict() for text in self.texts],
            "tasks": files,
            "limit": self.limit,
            **({"arithmetic": self.arithmetic} if self.arithmetic else {}),
            **({"answered": "together"} if self.together else {}),
            **prompts,
        }


def evaluate_model(
    model: PreTrainedModel, loaded: LoadedModel, plan: EvaluationPlan
) -> dict[str, Any]:
    """Evaluate a model; return losses by window and scores by question, as JSON values.

    A text with domains is evaluated by domain. Tasks that are answered together are left out.

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
    if plan.tasks and not plan.together:
        scores = measure_tasks(
            model,
            loaded.tokenizer,
            plan.tasks,
            tasks_from=plan.tasks_from,
            limit=plan.limit,
            batch_size=plan.batch_size,
        )
    judged = {"perplexity": perplexities, "tasks": [of_task(score) for score in scores]}
    if plan.arithmetic:
        asked = measure_arithmetic(
            model, loaded.tokenizer, plan.arithmetic, batch_size=plan.batch_size
        )
        judged["arithmetic"] = [of_task(score) for score in asked]
    if plan.prompts is not None:
        continued = measure_degeneracy(model, plan.prompts, batch_size=plan.batch_size)
        judged["degeneracy"] = [continued.as_dict()]
    return judged


def _of_perplexity(found: Perplexity) -> dict[str, Any]:
    """Plain JSON values; losses are rounded to seven digits, which exceeds their precision."""
    plain = found.as_dict()
    losses = [None if loss is None else float(f"{loss:.7g}") for loss in plain["losses"]]
    kept = ("text", "domain", "window", "windows", "tokens", "perplexity", "perplexity_error")
    return {**{name: plain[name] for name in kept}, "losses": losses}


def of_task(score: TaskScore) -> dict[str, Any]:
    """Plain JSON values; each score is 0 or 1, so one digit is enough."""
    plain = score.as_dict()
    return {**plain, "scores": "".join(str(round(one)) for one in score.scores)}
