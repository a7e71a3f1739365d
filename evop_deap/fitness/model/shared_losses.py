"""Sharing losses between searches: the key of a stored sum, and the time of storing it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.fitness.protocol import Evaluator, ModelEvaluator
from evop_deap.fitness.store import LossStore
from evop_deap.fitness.stored_evaluator import StoredEvaluator
from evop_deap.models.loading.precision import dtype_of
from evop_deap.space import Pattern

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
    tokens: NDArray[np.int64],
) -> Evaluator:
    """Return an evaluator that uses stored sums and calls `evaluator` for the others.

    A stored sum must equal a new one bit for bit. So `evaluator` is returned unchanged if its
    batches vary: the last bits of its sums then depend on the other patterns of a call.

    Args:
        evaluator: evaluates sums that are not stored.
        store: the store of the sums.
        model: the model that the evaluator runs.
        name: readable name of the model.
        fingerprint: fingerprint of the model.
        tokens: (windows, length) token ids of the evaluator's windows.
    """
    if evaluator.batches is None:
        return evaluator
    windows = [
        f"{hashlib.sha256(np.ascontiguousarray(row, '<i8').tobytes()).hexdigest()} of {batch}"
        for row, batch in zip(tokens, evaluator.batches, strict=True)
    ]
    return StoredEvaluator(
        evaluator,
        store,
        context=_context(evaluator, model, name, fingerprint),
        windows=windows,
        tokens=np.full(len(windows), tokens.shape[1] - 1, dtype=np.int64),
    )


def _context(evaluator: ModelEvaluator, model: PreTrainedModel, name: str, fingerprint: str) -> str:
    """Everything that affects the bits of a sum, except pattern and windows."""
    place = model.device.type
    if place == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        place = f"{platform.machine()} {capability} {torch.get_num_threads()} threads"
    elif place == "cuda":
        place = torch.cuda.get_device_name(model.device)
    parts = (
        " ".join(name.split()),
        str(dtype_of(model)).removeprefix("torch."),
        evaluator.arithmetic,
        str(model.config._attn_implementation),
        place,
        f"torch {torch.__version__}",
        fingerprint,
    )
    return ", ".join(parts)
