"""What all cells of a board have in common: calibration set, evaluation, recorded settings."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.board.making.evaluation_plan import CutText, EvaluationPlan
from benchmarks.board.making.run_files import HELDOUT, WIKI
from benchmarks.board.making.texts import (
    calibration_of,
    check_share,
    heldout_text,
    joined_corpus,
    without_exam,
)
from evop_deap.base.errors import InputError
from evop_deap.calibration import CalibrationSet
from evop_deap.evaluation.arithmetic import check_arithmetic
from evop_deap.evaluation.degeneracy import choose_prompts
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.loading.load_model import LoadedModel
from evop_deap.models.streaming.streamed_weights import weights_of
from evop_deap.recovery.compensation.form_names import OFF
from evop_deap.runs.draw_questions import QuestionSet, draw_questions
from evop_deap.runs.listeners.progress import Progress
from evop_deap.settings.search_config import SearchConfig
from evop_deap.text.whole_texts import EvaluationText, read_text

PROMPT = 32
"""Tokens of a prompt that is continued."""


def check_sizes(given: argparse.Namespace) -> None:
    """Check, before the model is loaded, that no text is shorter than a window."""
    for name, least in (
        ("wiki_window", min(given.wiki_window)),
        ("heldout_window", given.heldout_window),
    ):
        if least < 2:  # no first token is predicted
            raise InputError(f"`{name}` must be at least 2, but got {least}")
    for name, window in (
        ("wiki_tokens", max(given.wiki_window)),
        ("heldout_tokens", given.heldout_window),
    ):
        tokens = getattr(given, name)
        if tokens is not None and tokens < window:
            raise InputError(f"`{name}` must be at least one window ({window}), but got {tokens}")
    for name in ("arithmetic", "prompts"):
        if getattr(given, name) not in (0, *range(2, 100_000)):
            raise InputError(f"`{name}` must be 0, or at least 2, but got {getattr(given, name)}")
    if given.limit is not None and given.limit < 2:
        raise InputError(f"`limit` must be at least 2, but got {given.limit}")
    if given.batch_size < 1:
        raise InputError(f"`batch_size` must be at least 1, but got {given.batch_size}")
    check_share(given.exam_share)


def calibration_for(given: argparse.Namespace, loaded: LoadedModel) -> CalibrationSet:
    """Return the calibration set that all methods of the board use.

    Raises:
        InputError: a corpus cannot be read or is too small.
    """
    return calibration_of(
        without_exam(joined_corpus(given.corpus), given.exam_share),
        loaded,
        window=given.window,
        tokens=given.tokens,
        seed=given.calibration_seed,
        compensation_tokens=0 if given.compensate == OFF else given.compensation_tokens,
    )


def questions_for(
    given: argparse.Namespace, config: SearchConfig, loaded: LoadedModel
) -> QuestionSet | None:
    """Return the questions that methods ask, drawn as the calibration text is; None without any.

    Raises:
        InputError: a file cannot be read or holds too few.
    """
    drawn = config.replace(seed=given.calibration_seed, heldout_tokens=given.tokens)
    return draw_questions(drawn, loaded, Progress())


def plan_of(
    given: argparse.Namespace, loaded: LoadedModel, calibration: CalibrationSet
) -> EvaluationPlan:
    """Return the texts and tasks that the board evaluates on.

    Raises:
        InputError: a text cannot be read or fills no window, or a task cannot be run.
    """
    texts = []
    if given.wiki_test is not None:
        wiki = _wiki(given.wiki_test)
        for window in given.wiki_window:
            texts.append(CutText.of(WIKI, wiki, loaded, window, given.wiki_tokens))
    if given.heldout is not None:
        heldout = heldout_text(given.heldout, calibration, given.exam_share)
        window, tokens = given.heldout_window, given.heldout_tokens
        texts.append(CutText.of(HELDOUT, heldout, loaded, window, tokens))
    if given.arithmetic:
        check_arithmetic(loaded.tokenizer, given.arithmetic, seed=0, context=loaded.context)
    plan = EvaluationPlan(
        tuple(texts),
        tuple(given.tasks),
        given.tasks_from,
        given.limit,
        given.batch_size,
        given.arithmetic,
        _prompts(texts[-1], given.prompts) if given.prompts else None,
        together=_together(given, loaded),
    )
    plan.check()
    return plan


def _together(given: argparse.Namespace, loaded: LoadedModel) -> bool:
    """Whether all patterns answer at once: they are known, and the weights are in memory."""
    local = bool(given.tasks and given.tasks_from and given.patterns_from)
    return local and weights_of(loaded.model) is None


def _prompts(text: CutText, count: int) -> NDArray[np.int64]:
    """Return the beginnings of windows spread over a text: (at most count, tokens)."""
    length = min(PROMPT, text.window)
    return choose_prompts(np.concatenate([*text.cut.values()]), count=count, length=length)


def protocol_of(
    given: argparse.Namespace,
    loaded: LoadedModel,
    calibration: CalibrationSet,
    plan: EvaluationPlan,
    questions: QuestionSet | None,
) -> dict[str, Any]:
    """The settings common to all cells of a folder, with texts identified by their content."""
    compensation = calibration.compensation
    chosen = {
        "equal_cost": given.equal_cost or None,
        "fitness": None if given.fitness == "ce" else given.fitness,
        "questions": questions
        and {
            "files": [file["name"] for file in questions.manifest["files"]],
            "sha256": questions.calibration.fingerprint,
        },
        "compensate": compensation
        and {"form": given.compensate, "sha256": compensation.fingerprint},
    }
    return {
        "model": _name_of(given.model),
        "model_sha256": fingerprint_model(loaded.model),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "calibration": {
            "corpus": calibration.manifest["corpus"]["name"],
            "window": given.window,
            "tokens": calibration.calibration.tokens.size,
            "seed": given.calibration_seed,
            "sha256": calibration.calibration.fingerprint,
        },
        "max_cost": given.max_cost,
        **{name: value for name, value in chosen.items() if value is not None},
        **plan.as_dict(),
    }


def method_settings(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings of a protocol that decide what a method finds."""
    evaluation = ("texts", "tasks", "limit", "answered", "arithmetic", "prompts")
    return {name: value for name, value in protocol.items() if name not in evaluation}


def _name_of(model: str) -> str:
    """The name of a model; of a folder the last part, since its location does not matter."""
    path = Path(model).expanduser()
    return path.resolve().name if path.exists() else model


def _wiki(source: str) -> EvaluationText:
    try:
        return read_text(source)
    except InputError as error:
        message = str(error).replace("`perplexity`", "`wiki_test`", 1)
        raise InputError(message) from error
