"""Sharing losses between searches: what a stored sum is filed under, and when it is stored."""

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
from evop_deap.space import Pattern

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class HeldBackStore:
    """A store whose new sums wait for `release`.

    A search releases them once its own checkpoint holds them: so a search that was killed and
    resumed pays for the same evaluations as one that was not.
    """

    def __init__(self, store: LossStore) -> None:
        self._store = store
        self._waiting: list[tuple[str, list[Pattern], list[str], NDArray[np.float64]]] = []

    def get(
        self, context: str, patterns: Sequence[Pattern], windows: Sequence[str]
    ) -> NDArray[np.float64]:
        """What the store holds, without what waits."""
        return self._store.get(context, patterns, windows)

    def put(
        self,
        context: str,
        patterns: Sequence[Pattern],
        windows: Sequence[str],
        sums: NDArray[np.float64],
    ) -> None:
        """Keep these sums for `release`."""
        self._waiting.append((context, list(patterns), list(windows), sums))

    def release(self) -> None:
        """Store all that waits."""
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
    """`evaluator`, asked only for what no search has stored.

    An evaluator whose batches, and with them the last bits of its sums, depend on what else is
    judged comes back as it is: a stored sum is the fresh one to the bit, or it is not used.

    Args:
        evaluator: judges what is not stored.
        store: of the losses.
        model: what the evaluator runs.
        name: of the model, for people to read.
        fingerprint: of the model.
        tokens: (windows, length) of the evaluator's windows.
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
    """Everything that decides a bit of a sum, but for the pattern and the windows."""
    place = model.device.type
    if place == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        place = f"{platform.machine()} {capability} {torch.get_num_threads()} threads"
    elif place == "cuda":
        place = torch.cuda.get_device_name(model.device)
    parts = (
        " ".join(name.split()),
        str(model.dtype).removeprefix("torch."),
        evaluator.arithmetic,
        str(model.config._attn_implementation),
        place,
        f"torch {torch.__version__}",
        fingerprint,
    )
    return ", ".join(parts)
