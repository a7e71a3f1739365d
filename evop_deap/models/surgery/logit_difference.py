"""The difference between the logits of two models, and the difference that rounding explains."""

from __future__ import annotations

import torch


def logit_difference(expected: torch.Tensor, got: torch.Tensor) -> tuple[float, float]:
    """Return the largest absolute difference between logits, and the largest allowed.

    Rounding explains 1e-5 of the largest logit in float32, and 4 times the machine epsilon of it
    in lower precision.
    """
    if expected.shape != got.shape:
        return float("inf"), 0.0
    scale = float(expected.float().abs().max())
    difference = float((expected.float() - got.float()).abs().max())
    relative = max(1e-5, 4 * torch.finfo(expected.dtype).eps)
    return difference, relative * scale
