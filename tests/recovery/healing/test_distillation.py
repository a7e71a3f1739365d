from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_models import toy_model

from evop_deap.recovery.healing.distillation import token_losses, training_loss
from evop_deap.recovery.healing.teacher import teacher_targets


def _both(vocabulary: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, dense = (3 * torch.randn(2, 6, vocabulary, generator=generator) for _ in range(2))
    tokens = torch.randint(vocabulary, (2, 6), generator=generator)
    return student, dense, tokens


@given(st.integers(3, 40), st.integers(1, 40), st.integers(0, 99))
def test_the_divergence_with_a_bucket_is_at_most_the_whole_one(vocabulary: int, k: int, seed: int):
    student, dense, tokens = _both(vocabulary, seed)
    top = dense[:, :-1].log_softmax(-1).topk(min(k, vocabulary), dim=-1)
    entropies, divergences = token_losses(student, tokens, top.indices, top.values)
    log_p, log_q = dense[:, :-1].log_softmax(-1), student[:, :-1].log_softmax(-1)
    whole = (log_p.exp() * (log_p - log_q)).sum(-1)
    assert bool((divergences <= whole + 1e-4).all())
    assert bool((divergences >= -1e-4).all())
    if k >= vocabulary:
        torch.testing.assert_close(divergences, whole, rtol=1e-4, atol=1e-5)
    expected = torch.nn.functional.cross_entropy(
        student[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none"
    )
    torch.testing.assert_close(entropies, expected)


def test_the_mix_is_the_mean_of_both():
    one, two = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.5, 0.5]])
    assert training_loss("ce", one, two) == 2.0
    assert training_loss("kl", one, two) == 0.5
    assert training_loss("mix", one, two) == 1.25


def test_the_same_distribution_has_no_divergence_and_no_gradient():
    student, _, tokens = _both(30, 0)
    student.requires_grad_()
    top = student.detach()[:, :-1].log_softmax(-1).topk(8, dim=-1)
    _, divergences = token_losses(student, tokens, top.indices, top.values)
    divergences.sum().backward()
    assert float(divergences.detach().abs().max()) < 1e-4
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 1e-4


def test_predictions_are_kept_by_content_and_a_torn_file_is_made_again(tmp_path: Path):
    model = toy_model("llama")
    windows = np.arange(3, 3 + 40 * 8).reshape(40, 8) % 80
    made = teacher_targets(model, "a", windows, folder=tmp_path)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) == 2
    nobody: object = None
    again = teacher_targets(nobody, "a", windows, folder=tmp_path)  # type: ignore[arg-type]
    for name in ("ids", "logprobs", "losses"):
        np.testing.assert_array_equal(getattr(made, name), getattr(again, name))
    files[0].write_bytes(files[0].read_bytes()[:100])
    with pytest.raises(AttributeError):
        teacher_targets(nobody, "a", windows, folder=tmp_path)  # type: ignore[arg-type]
    healed = teacher_targets(model, "a", windows, folder=tmp_path)
    np.testing.assert_array_equal(made.ids, healed.ids)
    assert teacher_targets(model, "b", windows, folder=tmp_path).ids.shape == made.ids.shape
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
