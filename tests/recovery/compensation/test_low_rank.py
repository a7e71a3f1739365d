"""Changes of weights in little memory."""

from __future__ import annotations

import torch
from torch import nn

from evop_deap.recovery.compensation.low_rank import RANK, LowRank, Whole, made_small, restored


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_change_of_low_rank_is_restored() -> None:
    for shape in ((300, 200), (200, 300), (4, 100, 200)):
        weight = nn.Parameter(drawn(*shape))
        change = drawn(*shape[:-1], RANK - 4, seed=1) @ drawn(RANK - 4, shape[-1], seed=2)
        small = made_small({weight: weight.data + change})
        made = small[weight]
        assert isinstance(made, LowRank)
        assert made.left.numel() + made.right.numel() < weight.numel()
        torch.testing.assert_close(
            restored(small)[weight], weight.data + change, rtol=1e-3, atol=1e-3
        )


def test_what_a_change_loses_is_little_more_than_its_smallest_directions() -> None:
    weight = nn.Parameter(torch.zeros(400, 300))
    left, _ = torch.linalg.qr(drawn(400, 300))
    right, _ = torch.linalg.qr(drawn(300, 300, seed=1))
    sizes = torch.arange(1, 301).float().reciprocal()
    change = left * sizes @ right
    kept = restored(made_small({weight: change}))[weight]
    best = float(sizes[RANK:].square().sum().sqrt())
    assert float((change - kept).norm()) < 1.3 * best


def test_small_weights_are_kept_whole() -> None:
    for shape in ((7,), (RANK, 500)):
        weight = nn.Parameter(drawn(*shape).bfloat16())
        small = made_small({weight: weight.data.float() + 1})
        assert isinstance(small[weight], Whole)
        assert torch.equal(restored(small)[weight], (weight.data.float() + 1).bfloat16())


def test_a_narrow_weight_stays_narrow() -> None:
    weight = nn.Parameter(drawn(300, 300).bfloat16())
    made = restored(made_small({weight: weight.data.float() + 1}))[weight]
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), weight.data.float() + 1, rtol=0.02, atol=0.02)
