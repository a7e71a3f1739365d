"""The loss of a multiple-choice question from the log-likelihoods of its options.

A softmax over the options' log-likelihoods, each divided by the option's length in characters,
gives a probability to each option. The loss is the cross-entropy of the right one. The likeliest
option is the one that lm-evaluation-harness takes for `acc_norm`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.text.questions import Question


def answer_loss(log_likelihoods: NDArray[np.float64], question: Question) -> float:
    """Return the cross-entropy of the right option, in nats; NaN where a number is not finite.

    Args:
        log_likelihoods: (options,) summed over the tokens of each option.
        question: the question.

    Example:
        >>> from evop_deap.text.questions import Option
        >>> question = Question((Option((1, 2), 1, 4), Option((1, 3), 1, 4)), right=1)
        >>> round(answer_loss(np.array([-8.0, -8.0]), question), 4)
        0.6931
    """
    scores = normalised(log_likelihoods, question)
    if not np.isfinite(scores).all():
        return float("nan")
    highest = scores.max()
    return float(highest + np.log(np.exp(scores - highest).sum()) - scores[question.right])


def answered_right(log_likelihoods: NDArray[np.float64], question: Question) -> bool:
    """Return whether the likeliest option, length-normalised, is the right one.

    A model that computes numbers which are not finite answers nothing right.
    """
    scores = normalised(log_likelihoods, question)
    return bool(np.isfinite(scores).all()) and int(scores.argmax()) == question.right


def normalised(log_likelihoods: NDArray[np.float64], question: Question) -> NDArray[np.float64]:
    """Return the (options,) log-likelihoods for each character."""
    found: NDArray[np.float64] = log_likelihoods / [o.characters for o in question.options]
    return found


def answer_losses(
    log_likelihoods: Sequence[NDArray[np.float64]], questions: Sequence[Question]
) -> NDArray[np.float64]:
    """Return the (questions,) losses, given the (options,) log-likelihoods for each question."""
    pairs = zip(log_likelihoods, questions, strict=True)
    return np.array([answer_loss(each, question) for each, question in pairs])


def mistakes(
    log_likelihoods: Sequence[NDArray[np.float64]], questions: Sequence[Question]
) -> NDArray[np.float64]:
    """Return 1 for each question whose likeliest option is a wrong one, and 0 for the others."""
    pairs = zip(log_likelihoods, questions, strict=True)
    return np.array([0.0 if answered_right(each, question) else 1.0 for each, question in pairs])
