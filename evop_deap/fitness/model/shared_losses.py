"""Sharing losses between searches: the key of a stored sum, and the time of storing it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.fitness.model.window_kinds import TextAndQuestions, Windows, predicted_tokens
from evop_deap.fitness.protocol import Evaluator, ModelEvaluator
from evop_deap.fitness.store import LossStore
from evop_deap.fitness.stored_evaluator import StoredEvaluator
from evop_deap.models.loading.precision import dtype_of
from evop_deap.models.streaming.computation import computed_on, versions_of
from evop_deap.space import Pattern
from evop_deap.text.questions import Questions

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class HeldBackStore:
    """A store that holds new sums back until `release`.

    A search releases them after its checkpoint is written. So a search that was killed and resumed
    has the same cost as one that was not.
    """

    def __init__(self, store: LossStore) -> None:
        self._store = store
        self._waiting: list[tuple[str, list[Pattern], list[str], NDArray[np.float64]]] = []

    def get(
        self, context: str, patterns: Sequence[Pattern], windows: Sequence[str]
    ) -> NDArray[np.float64]:
        """The stored sums, without those held back."""
        return self._store.get(context, patterns, windows)

    def put(
        self,
        context: str,
        patterns: Sequence[Pattern],
        windows: Sequence[str],
        sums: NDArray[np.float64],
    ) -> None:
        """Hold these sums back until `release`."""
        self._waiting.append((context, list(patterns), list(windows), sums))

    def release(self) -> None:
        """Store all sums that were held back."""
        for entry in self._waiting:
            self._store.put(*entry)
        self._waiting.clear()


def sharing_evaluator(
    evaluator: ModelEvaluator,
    store: HeldBackStore,
    *,
    model: PreTrainedModel,
    name: str,
    fingerprint: str,
    tokens: Windows,
) -> Evaluator:
    """Return an evaluator that uses stored sums and calls `evaluator` for the others.

    A stored sum must equal a new one bit for bit. So `evaluator` is returned unchanged if its
    batches vary: the last bits of its sums then depend on the other patterns of a call. It is also
    returned if code of the model is of no package, because that code can change unnoticed.

    Args:
        evaluator: evaluates sums that are not stored.
        store: the store of the sums.
        model: the model that the evaluator runs.
        name: readable name of the model.
        fingerprint: fingerprint of the model.
        tokens: the evaluator's windows: (windows, length) token ids, or questions.
    """
    versions = versions_of(model)
    if evaluator.batches is None or versions is None:
        return evaluator
    windows = _names(tokens, evaluator.batches)
    return StoredEvaluator(
        evaluator,
        store,
        context=_context(evaluator, model, name, fingerprint, versions),
        windows=windows,
        tokens=predicted_tokens(tokens),
    )


def _names(windows: Windows, batches: Sequence[int]) -> list[str]:
    """Return a name for each window that says what affects the bits of its sums.

    Questions of a batch are one sequence, so the others of the batch are in the name.
    """
    if isinstance(windows, TextAndQuestions):
        count = len(windows.text)
        text = _names(windows.text, batches[:count])
        questions = _names(windows.questions, batches[count:])
        sizes = f"of {len(windows)} with {count} of text and {len(windows.questions)} questions"
        inside = (
            [*(text[at] for at in some), *(questions[at] for at in others)]
            for some, others in zip(*windows.places, strict=True)
        )
        return [f"{hashlib.sha256(''.join(n).encode()).hexdigest()} {sizes}" for n in inside]
    if isinstance(windows, Questions):
        prints = [question.fingerprint for question in windows.asked]
        names: list[str] = []
        while len(names) < len(prints):
            batch = prints[len(names) : len(names) + batches[len(names)]]
            whole = hashlib.sha256("".join(batch).encode()).hexdigest()
            names += [f"{whole} {place} of {len(batch)}" for place in range(len(batch))]
        return names
    return [
        f"{hashlib.sha256(np.ascontiguousarray(row, '<i8').tobytes()).hexdigest()} of {batch}"
        for row, batch in zip(windows, batches, strict=True)
    ]


def _context(
    evaluator: ModelEvaluator,
    model: PreTrainedModel,
    name: str,
    fingerprint: str,
    versions: Mapping[str, str],
) -> str:
    """Everything that affects the bits of a sum, except pattern and windows."""
    parts = (
        " ".join(name.split()),
        str(dtype_of(model)).removeprefix("torch."),
        evaluator.arithmetic,
        str(model.config._attn_implementation),
        computed_on(model),
        f"{torch.get_float32_matmul_precision()} precision of float32 products",
        *(f"{package} {number}" for package, number in versions.items()),
        fingerprint,
    )
    return ", ".join(parts)
