"""The answers stage: losses and right answers of the result on held-out questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from evop_deap.base.numbers import finite_or_none
from evop_deap.runs.context import Context
from evop_deap.runs.draw_questions import QuestionSet
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.pruned_model import PrunedModel, of_pattern
from evop_deap.runs.stages.current_model import current_model, uncompensated_model
from evop_deap.runs.stages.recover import Compensated
from evop_deap.runs.storage.file_shapes import AnswersDone
from evop_deap.text.questions import Questions


@dataclass(frozen=True)
class Answered:
    """The outcome on held-out questions.

    Attributes:
        about: plain JSON values, see `AnswersEntry`; None where the search had no questions.
    """

    about: AnswersDone | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"about": self.about}


def answer(context: Context, before: Outputs) -> Answered:
    """Ask the dense, the pruned and the compensated model the held-out questions."""
    asked = context.questions
    if asked is None:
        return Answered(None)
    context.progress.stage("asking the held-out questions")
    models = {
        "dense": of_pattern(context, context.space.dense),
        "pruned": uncompensated_model(context, before),
    }
    if before[Compensated].taken:
        models["compensated"] = current_model(context, before)
    held = asked.heldout.tokens
    answers = {name: _answers(model, held) for name, model in models.items()}
    return Answered(
        {
            **_counts(asked),
            "fingerprint": asked.heldout.fingerprint,
            "loss": {name: finite_or_none(loss) for name, (loss, _) in answers.items()},
            "accuracy": {name: accuracy for name, (_, accuracy) in answers.items()},
        }
    )


def _counts(asked: QuestionSet) -> dict[str, int]:
    return {
        "searched": len(asked.calibration.tokens),
        "validation": len(asked.validation.tokens),
        "heldout": len(asked.heldout.tokens),
    }


def _answers(pruned: PrunedModel, questions: Questions) -> tuple[float, float]:
    """Return the mean loss of a model on questions, and the share that it answers right."""
    from evop_deap.fitness.answer_losses import answer_losses, answered_right
    from evop_deap.fitness.model.option_likelihoods import likelihoods_of
    from evop_deap.models.surgery.bypass import bypassed
    from evop_deap.recovery.compensation.changed_weights import written

    with written(pruned.changes), bypassed(pruned.anatomy, pruned.dropped):
        found = likelihoods_of(pruned.model, questions)
    right = [answered_right(one, q) for one, q in zip(found, questions.asked, strict=True)]
    return float(answer_losses(found, questions.asked).mean()), float(np.mean(right))
