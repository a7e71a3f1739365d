"""Window losses from whole logits."""

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
    # On the CPU, since not every device supports float64.
    return losses.view(tokens.shape[0], -1).cpu().double().sum(dim=1)


def divergence_sums(logits: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
    """KL divergence of each window's predictions from the dense model's, summed, in nats.

    Args:
        logits: (windows, length, vocabulary) of the model to evaluate.
        dense: (windows, length, vocabulary) of the dense model.

    Returns:
        (windows,) float64 sums over the `length - 1` predictions.
    """
    log_q = logits[:, :-1].float().log_softmax(-1)
    log_p = dense[:, :-1].float().log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).cpu().double().sum(1)
