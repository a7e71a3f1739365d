"""The difference between the logits of two models, and the difference that rounding explains."""

from __future__ import annotations

import torch


def logit_difference(
    expected: torch.Tensor, got: torch.Tensor, dtype: torch.dtype | None = None
) -> tuple[float, float]:
    """Return the largest absolute difference between logits, and the largest allowed.

    Rounding explains 1e-5 of the largest logit in float32, and 4 times the machine epsilon of it
    in lower precision.

    Args:
        expected: logits of one model.
        got: logits of the other one, on the same tokens.
        dtype: what the models round to within, if that is of lower precision than the logits.
    """
    if expected.shape != got.shape:
        return float("inf"), 0.0
    scale = float(expected.float().abs().max())
    difference = float((expected.float() - got.float()).abs().max())
    return difference, relative_tolerance(dtype or expected.dtype) * scale


def relative_tolerance(dtype: torch.dtype) -> float:
    """Return the difference that rounding to `dtype` explains, as a share of the largest logit."""
    return max(1e-5, 4 * torch.finfo(dtype).eps)
