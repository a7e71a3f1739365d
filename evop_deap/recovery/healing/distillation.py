"""The losses of a training after pruning: divergence from the dense model, and cross-entropy."""

from __future__ import annotations

import torch


def token_losses(
    logits: torch.Tensor, tokens: torch.Tensor, ids: torch.Tensor, logprobs: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross-entropy of each token, and the divergence from the dense model there.

    The divergence is over the dense model's likeliest tokens and one bucket for the rest, which
    bounds the divergence over the whole vocabulary from below.

    Args:
        logits: (windows, length, vocabulary) of the model in training.
        tokens: (windows, length) token ids.
        ids: (windows, length - 1, k) the dense model's likeliest tokens.
        logprobs: (windows, length - 1, k) the dense model's log-probabilities of them.

    Returns:
        Two tensors (windows, length - 1), in nats.
    """
    every = logits[:, :-1].float()
    ids = ids.long()
    total = every.logsumexp(-1)
    entropies = total - every.gather(-1, tokens[:, 1:, None]).squeeze(-1)
    log_p = logprobs.float()
    log_q = every.gather(-1, ids) - total[..., None]
    divergences = (log_p.exp() * (log_p - log_q)).sum(-1)
    if ids.shape[-1] < every.shape[-1]:
        # The rest is summed up itself: one minus the others cancels where the rest is small.
        rest_q = every.scatter(-1, ids, float("-inf")).logsumexp(-1) - total
        rest_p = -torch.expm1(log_p.logsumexp(-1)).clamp(max=-1e-6)
        divergences = divergences + rest_p * (rest_p.log() - rest_q)
    return entropies, divergences


def training_loss(kind: str, entropies: torch.Tensor, divergences: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of a kind: "kl", "ce", or "mix", the mean of both."""
    if kind == "ce":
        return entropies.mean()
    return divergences.mean() if kind == "kl" else (entropies.mean() + divergences.mean()) / 2
