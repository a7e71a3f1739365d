from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evop_deap.fitness.model.blocked_divergence import blocked_divergences, blocked_log_totals
from evop_deap.fitness.model.blocked_loss import blocked_losses
from evop_deap.fitness.model.logit_losses import divergence_sums, window_sums
from evop_deap.fitness.model.tiles import Tile, tile_for
from evop_deap.models.anatomy.exit import Exit


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000),
    windows=st.integers(1, 3),
    length=st.integers(2, 9),
    vocabulary=st.integers(2, 70),
    tile=st.builds(Tile, st.integers(1, 30), st.integers(1, 80)),
    scale=st.sampled_from([0.1, 1.0, 50.0]),
    has_bias=st.booleans(),
)
def test_the_blocked_loss_equals_the_loss_of_whole_logits(
    seed: int, windows: int, length: int, vocabulary: int, tile: Tile, scale: float, has_bias: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(windows, length, 8, generator=generator) * scale
    weight = torch.randn(vocabulary, 8, generator=generator)
    bias = torch.randn(vocabulary, generator=generator) if has_bias else None
    tokens = torch.randint(vocabulary, (windows, length), generator=generator)
    leaving = Exit((), weight, bias, lambda logits: logits.div_(30).tanh_().mul_(30))
    logits = torch.nn.functional.linear(features, weight, bias).div(30).tanh().mul(30)
    losses = blocked_losses(features, tokens, leaving, tile)
    assert (losses.shape, losses.dtype) == ((windows, length - 1), torch.float32)
    torch.testing.assert_close(
        losses.double().sum(dim=1),
        window_sums(logits, tokens),
        atol=1e-4,
        rtol=1e-6,
    )


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000),
    models=st.integers(1, 4),
    windows=st.integers(1, 3),
    length=st.integers(2, 9),
    vocabulary=st.integers(2, 70),
    tile=st.builds(Tile, st.integers(1, 30), st.integers(1, 80)),
    scale=st.sampled_from([0.1, 1.0, 10.0]),
)
def test_the_blocked_divergence_equals_that_of_whole_logits(
    seed: int,
    models: int,
    windows: int,
    length: int,
    vocabulary: int,
    tile: Tile,
    scale: float,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    dense, *several = (
        torch.randn(windows, length, 8, generator=generator) * scale for _ in range(models + 1)
    )
    weight = torch.randn(vocabulary, 8, generator=generator)
    leaving = Exit((), weight, None, lambda logits: logits.mul_(0.5))
    totals = blocked_log_totals(dense, leaving, tile)
    found = blocked_divergences([*several, dense], dense, totals, leaving, tile)
    logits = [(features @ weight.T) * 0.5 for features in (*several, dense)]
    for divergence, own in zip(found, logits, strict=True):
        expected = divergence_sums(own, logits[-1])
        torch.testing.assert_close(
            divergence.double().sum(dim=1), expected, atol=2e-4 * length, rtol=1e-5
        )


def test_the_dense_model_does_not_diverge_from_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 7, 8, generator=generator)
    weight = torch.randn(50, 8, generator=generator)
    leaving, tile = Exit((), weight, None, lambda logits: logits), Tile(4, 16)
    totals = blocked_log_totals(features, leaving, tile)
    (found,) = blocked_divergences([features.clone()], features, totals, leaving, tile)
    assert float(found.abs().max()) < 1e-6


def test_the_divergence_is_that_of_a_hand_computation() -> None:
    dense = torch.tensor([[[0.5, 0.25, 0.25], [1.0, 1.0, 1.0]]]).log()
    logits = torch.tensor([[[0.25, 0.25, 0.5], [1.0, 1.0, 1.0]]]).log()
    expected = 0.5 * np.log(2) + 0.25 * np.log(0.5)
    assert float(divergence_sums(logits, dense)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("caches", "words"),
    [
        ({"SC_LEVEL3_CACHE_SIZE": 32 * 2**20}, 4096),  # 8 MiB of float32: a quarter of the cache
        ({"SC_LEVEL3_CACHE_SIZE": 48 * 2**20}, 4096),  # less than that for a power of two
        ({"SC_LEVEL3_CACHE_SIZE": 0, "SC_LEVEL2_CACHE_SIZE": 16 * 2**20}, 2048),
        ({"SC_LEVEL3_CACHE_SIZE": 2**20}, 1024),
        ({"SC_LEVEL3_CACHE_SIZE": 2**30}, 8192),
        ({}, 4096),
    ],
)
def test_a_processors_tile_fills_a_quarter_of_its_last_cache_within_bounds(
    caches: dict[str, int], words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf_names", caches)
    monkeypatch.setattr(os, "sysconf", caches.__getitem__)
    assert tile_for(torch.device("cpu")) == Tile(512, words)
