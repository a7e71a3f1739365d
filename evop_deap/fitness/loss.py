"""From logits to the loss of each window."""

from __future__ import annotations

import torch


def window_sums(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each window's tokens after its first, summed, in nats.

    Args:
        logits: (windows, length, vocabulary) in any floating-point format.
        tokens: (windows, length) token ids.

    Returns:
        (windows,) float64 sums over `length - 1` predicted tokens. The softmax is taken in
        float32: in bfloat16 its error exceeds the distance between good patterns.
    """
    predictions = logits[:, :-1].float().flatten(0, 1)  # (windows * (length - 1), vocabulary)
    targets = tokens[:, 1:].flatten()
    losses = torch.nn.functional.cross_entropy(predictions, targets, reduction="none")
    return losses.view(tokens.shape[0], -1).double().sum(dim=1)
