"""The questions of the fitness `answers`: searched on, held out, and for validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_file
from evop_deap.runs.listeners.progress import Progress
from evop_deap.settings.search_config import SearchConfig
from evop_deap.text.questions import Question, Questions

if TYPE_CHECKING:
    from evop_deap.calibration import CalibrationSet, WindowSet
    from evop_deap.fitness.model.window_kinds import TextAndQuestions
    from evop_deap.models.loading.load_model import LoadedModel

_SHARE = 0.25  # of the questions held out, and as many for validation
_LEAST = 8
_STREAM = 9  # the streams before it draw calibration text


@dataclass(frozen=True, eq=False)
class QuestionPart:
    """Questions in the place of a set of windows.

    Attributes:
        tokens: the questions.
    """

    tokens: Questions

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the questions."""
        return self.tokens.fingerprint

    def with_text(self, text: WindowSet | None, together: int) -> MixedPart | None:
        """Return these questions and windows of text, `together` of which are computed together."""
        if text is None:
            return None
        from evop_deap.fitness.model.window_kinds import TextAndQuestions

        return MixedPart(
            TextAndQuestions(text.tokens, self.tokens, together),
            f"{text.fingerprint} {self.fingerprint}",
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: the places of the questions, and what identifies them."""
        return {
            "questions": len(self.tokens),
            "tokens": self.tokens.size,
            "fingerprint": self.fingerprint,
            "places": [question.place for question in self.tokens.asked],
        }


@dataclass(frozen=True, eq=False)
class MixedPart:
    """Windows of text and questions in the place of a set of windows."""

    tokens: TextAndQuestions
    fingerprint: str


@dataclass(frozen=True, eq=False)
class MixedSet:
    """What a sum of two fitnesses is searched on and validated on."""

    calibration: MixedPart
    validation: MixedPart | None

    weights = None
    """All windows weigh the same."""


@dataclass(frozen=True, eq=False)
class QuestionSet:
    """Questions in three parts; none is in two of them.

    Attributes:
        calibration: questions on which the search evaluates patterns.
        heldout: questions on which the result is reported.
        validation: questions that decide between near-equals.
        manifest: plain JSON that names the files and the questions of each part.
    """

    calibration: QuestionPart
    heldout: QuestionPart
    validation: QuestionPart
    manifest: Mapping[str, Any] = field(default_factory=dict)

    weights = None
    """All questions weigh the same."""

    def with_text(self, text: CalibrationSet, together: int) -> MixedSet:
        """Return the questions and the text that a sum is searched on."""
        calibration = self.calibration.with_text(text.calibration, together)
        assert calibration is not None
        return MixedSet(calibration, self.validation.with_text(text.validation, together))


def check_questions(config: SearchConfig) -> None:
    """Refuse files of questions early, because loading a model can take minutes.

    Raises:
        InputError: one cannot be read, or the harness is not installed.
    """
    if config.questions:
        from evop_deap.evaluation.question_files import check_question_files

        check_question_files(config.questions)


def draw_questions(
    config: SearchConfig, loaded: LoadedModel, progress: Progress
) -> QuestionSet | None:
    """Read the questions of the settings and draw the three parts; None without questions.

    Raises:
        InputError: a file cannot be read, or there are too few questions.
    """
    if not config.questions:
        return None
    from evop_deap.evaluation.question_files import check_question_files, read_questions

    progress.stage(f"reading the questions {', '.join(config.questions)}")
    files = check_question_files(config.questions)
    written = [question for path in files for question in read_questions(path)]
    encoded = (question.encoded(loaded.tokenizer) for question in written)
    different = {question.fingerprint: question for question in encoded}
    usable = [question for question in different.values() if _fits(question, loaded.context)]
    rng = np.random.default_rng([config.seed, _STREAM])
    made = split_questions(usable, rng, tokens=config.tokens, heldout_tokens=config.heldout_tokens)
    parts = {name: getattr(made, name) for name in ("calibration", "validation", "heldout")}
    told = ", ".join(f"{len(part.tokens)} {_CALLED[name]}" for name, part in parts.items())
    progress.stage(f"questions: {told}; {len(written)} read")
    manifest = {
        "files": [{"name": path.name, "sha256": sha256_of_file(path)} for path in files],
        **{name: part.as_dict() for name, part in parts.items()},
    }
    return QuestionSet(made.calibration, made.heldout, made.validation, manifest)


_CALLED = {"calibration": "searched on", "validation": "for validation", "heldout": "held out"}


def split_questions(
    questions: Sequence[Question], rng: np.random.Generator, *, tokens: int, heldout_tokens: int
) -> QuestionSet:
    """Draw the three parts of a set.

    A quarter of the questions is for validation, and another held out. More tokens add questions
    to a part, and change none.

    Args:
        questions: different questions.
        rng: draws their order.
        tokens: most tokens of the questions searched on, and of those for validation.
        heldout_tokens: most tokens of those held out.

    Raises:
        InputError: there are fewer than eight questions, or `tokens` holds none.
    """
    if len(questions) < _LEAST:
        raise InputError(
            f"`questions` must hold {_LEAST} different questions or more that fit the model's "
            f"context, but got {len(questions)}"
        )
    ordered = [questions[place] for place in rng.permutation(len(questions)).tolist()]
    quarter = round(_SHARE * len(ordered))
    heldout, validation = ordered[:quarter], ordered[quarter : 2 * quarter]
    return QuestionSet(
        calibration=_filled(ordered[2 * quarter :], tokens, "tokens"),
        heldout=_filled(heldout, heldout_tokens, "heldout_tokens"),
        validation=_filled(validation, tokens, "tokens"),
    )


def _filled(questions: Sequence[Question], tokens: int, name: str) -> QuestionPart:
    """Return the first questions that have no more than this many tokens together."""
    lengths = np.cumsum([question.length for question in questions])
    count = int(np.searchsorted(lengths, tokens, side="right"))
    if count < 2:
        raise InputError(
            f"`{name}` must hold two questions or more, but {tokens} hold {count}: "
            f"{lengths[1]} would do"
        )
    return QuestionPart(Questions(tuple(questions[:count])))


def _fits(question: Question, context: int | None) -> bool:
    return context is None or question.longest - 1 <= context
