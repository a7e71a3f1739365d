"""What the dense model predicts on windows: its likeliest tokens, computed once and cached."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.files import write_bytes
from evop_deap.text.tokens import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LIKELIEST = 64

_NAMES = ("ids", "logprobs", "losses")

_WINDOWS_A_FILE = 32
_WINDOWS_AT_ONCE = 4


@dataclass(frozen=True, eq=False)
class TeacherTargets:
    """Predictions of the dense model on windows.

    Attributes:
        ids: (windows, window - 1, k) int32, the likeliest next tokens.
        logprobs: (windows, window - 1, k) float16, their log-probabilities.
        losses: (windows,) float64, sums of the dense model's own losses, in nats.
    """

    ids: NDArray[np.int32]
    logprobs: NDArray[np.float16]
    losses: NDArray[np.float64]

    @property
    def finite(self) -> NDArray[np.bool_]:
        """(windows,): whether every number of a window is finite."""
        sound: NDArray[np.bool_] = np.isfinite(self.losses)
        sound &= np.isfinite(self.logprobs).all(axis=(1, 2))
        return sound

    def only(self, rows: NDArray[np.bool_]) -> TeacherTargets:
        """Return the predictions on some of the windows."""
        return TeacherTargets(self.ids[rows], self.logprobs[rows], self.losses[rows])


def teacher_targets(
    model: PreTrainedModel,
    fingerprint: str,
    windows: Tokens,
    *,
    folder: Path,
    on_done: Callable[[int], object] = lambda count: None,
) -> TeacherTargets:
    """Return the predictions of the dense model, from the cache in `folder` if they are there.

    `folder` holds safetensors files of a few windows each, named by the hash of the model and the
    windows. An unreadable file is computed again.

    Args:
        model: the dense model.
        fingerprint: hash of the dense model.
        windows: (windows, window) token ids.
        folder: the cache.
        on_done: called with the number of windows that are done.

    Raises:
        OutputError: `folder` cannot be written.
    """
    parts = []
    for rows in _chunks(windows):
        path = folder / f"{_key(fingerprint, rows)}.safetensors"
        found = _read(path, rows)
        if found is None:
            found = _compute(model, rows)
            _write(path, found)
        parts.append(found)
        on_done(sum(len(part.losses) for part in parts))
    return TeacherTargets(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.logprobs for part in parts]),
        np.concatenate([part.losses for part in parts]),
    )


def _chunks(windows: Tokens) -> Iterator[Tokens]:
    for first in range(0, len(windows), _WINDOWS_A_FILE):
        yield windows[first : first + _WINDOWS_A_FILE]


def _key(fingerprint: str, rows: Tokens) -> str:
    digest = hashlib.sha256(f"{fingerprint} {LIKELIEST} {rows.shape}".encode())
    digest.update(rows.astype("<i8").tobytes())
    return digest.hexdigest()[:40]


def _compute(model: PreTrainedModel, rows: Tokens) -> TeacherTargets:
    import torch

    from evop_deap.fitness.model.logit_losses import window_sums

    ids, logprobs, losses = [], [], []
    with torch.inference_mode():
        for some in torch.as_tensor(rows, device=model.device).split(_WINDOWS_AT_ONCE):
            logits = model(input_ids=some, use_cache=False).logits
            losses.append(window_sums(logits, some).numpy())
            every = logits[:, :-1].float().log_softmax(-1)
            top = every.topk(min(LIKELIEST, every.shape[-1]), dim=-1)
            ids.append(top.indices.to(torch.int32).cpu().numpy())
            logprobs.append(top.values.to(torch.float16).cpu().numpy())
    return TeacherTargets(np.concatenate(ids), np.concatenate(logprobs), np.concatenate(losses))


def _write(path: Path, targets: TeacherTargets) -> None:
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {
        "ids": targets.ids,
        "logprobs": targets.logprobs,
        "losses": targets.losses,
    }
    write_bytes(path, save(arrays))


def _read(path: Path, rows: Tokens) -> TeacherTargets | None:
    from safetensors.numpy import load_file

    if not path.is_file():
        return None
    try:
        found = load_file(path)
        targets = TeacherTargets(found["ids"], found["logprobs"], found["losses"])
    except Exception:  # readers of archives raise many types
        return None
    right = (
        targets.ids.dtype == np.int32
        and targets.logprobs.dtype == np.float16
        and targets.ids.shape == targets.logprobs.shape
        and targets.ids.shape[:2] == (len(rows), rows.shape[1] - 1)
        and targets.losses.shape == (len(rows),)
    )
    return targets if right else None
