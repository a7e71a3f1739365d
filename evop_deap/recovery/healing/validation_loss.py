"""The loss of a model on windows: its cross-entropy and its divergence from the dense model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.recovery.healing.distillation import token_losses
from evop_deap.recovery.healing.teacher import TeacherTargets
from evop_deap.text.tokens import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)
class MeasuredLoss:
    """Losses of a model on windows, in nats a token.

    Attributes:
        entropies: (windows,) mean cross-entropy.
        divergences: (windows,) mean divergence from the dense model.
    """

    entropies: NDArray[np.float64]
    divergences: NDArray[np.float64]

    @property
    def loss(self) -> float:
        """Mean cross-entropy."""
        return float(self.entropies.mean())

    @property
    def divergence(self) -> float:
        """Mean divergence from the dense model."""
        return float(self.divergences.mean())


def measure(
    model: PreTrainedModel | Any,
    windows: Tokens,
    targets: TeacherTargets,
    *,
    at_once: int = 4,
    narrow: bool = False,
) -> MeasuredLoss:
    """Measure a model on windows; its mode (training or evaluation) is as before afterwards.

    Args:
        model: the model.
        windows: (windows, window) token ids.
        targets: predictions of the dense model there.
        at_once: windows in a batch.
        narrow: whether to compute in bfloat16.
    """
    entropies: list[NDArray[np.float64]] = []
    divergences: list[NDArray[np.float64]] = []
    was_training, device = model.training, model.device
    model.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=narrow):
        for first in range(0, len(windows), at_once):
            some = slice(first, first + at_once)
            tokens = torch.as_tensor(windows[some], device=device)
            found = token_losses(
                model(input_ids=tokens, use_cache=False).logits,
                tokens,
                torch.as_tensor(targets.ids[some], device=device),
                torch.as_tensor(targets.logprobs[some], device=device),
            )
            for rows, kept in zip(found, (entropies, divergences), strict=True):
                kept.append(rows.mean(-1).cpu().double().numpy())
    model.train(was_training)
    return MeasuredLoss(np.concatenate(entropies), np.concatenate(divergences))
