"""Windows chosen by their responses: the mean of a few follows the mean of all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.calibration.herding import herd, herd_within


def responses(patterns: int, windows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    common = rng.normal(4, 1, size=(1, windows))
    return common + rng.normal(0, 0.3, size=(patterns, windows))


@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 99))
def test_an_order_holds_every_window_once(patterns, windows, seed) -> None:
    order = herd(responses(patterns, windows, seed))
    assert sorted(order) == list(range(windows))
    assert herd(responses(patterns, windows, seed), count=3) == order[:3]


def test_the_running_mean_is_nearer_the_pool_than_that_of_random_windows() -> None:
    known = responses(4, 200, 0)
    truth = known.mean(axis=1)
    rng = np.random.default_rng(1)
    for count in (4, 8, 16, 32):
        ours = np.abs(known[:, herd(known, count)].mean(axis=1) - truth).max()
        theirs = [
            np.abs(known[:, rng.permutation(200)[:count]].mean(axis=1) - truth).max()
            for _ in range(100)
        ]
        assert ours < np.percentile(theirs, 10)


def test_what_was_not_probed_is_followed_too_as_far_as_it_responds_alike() -> None:
    rng = np.random.default_rng(2)
    hidden = rng.normal(size=(3, 300))
    known = rng.normal(size=(8, 3)) @ hidden + 0.1 * rng.normal(size=(8, 300))
    other = rng.normal(size=(20, 3)) @ hidden
    chosen = herd(known, 8)
    ours = np.abs(other[:, chosen].mean(axis=1) - other.mean(axis=1)).mean()
    random = [
        np.abs(other[:, rng.permutation(300)[:8]].mean(axis=1) - other.mean(axis=1)).mean()
        for _ in range(100)
    ]
    assert ours < np.mean(random) / 2


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.integers(1, 60))
def test_within_strata_every_beginning_keeps_their_shares(labels, count) -> None:
    labels = np.array(labels)
    chosen = herd_within(responses(3, len(labels), 0), labels, count)
    assert len(set(chosen)) == len(chosen) == min(count, len(labels))
    for length in range(1, len(chosen) + 1):
        for name in np.unique(labels):
            share = (labels == name).mean()
            assert abs((labels[chosen[:length]] == name).sum() - length * share) <= 1 + 1e-9


def test_a_small_stratum_has_its_own_share_and_not_that_of_the_pool() -> None:
    labels = np.array([0] * 90 + [1] * 6)
    chosen = herd_within(responses(3, 96, 0), labels, 24, {0: 0.8, 1: 0.2})
    for length in range(1, 25):
        assert abs((labels[chosen[:length]] == 1).sum() - 0.2 * length) <= 1 + 1e-9


def test_a_pattern_that_all_windows_answer_alike_says_nothing() -> None:
    known = responses(2, 20, 3)
    flat = np.vstack([known, np.full((1, 20), 7.0)])
    assert herd(flat) == herd(known)
    assert sorted(herd(np.ones((1, 5)))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.ones((0, 4)), "at least one pattern on one window"),
        (np.ones((4, 0)), "at least one pattern on one window"),
        (np.ones(4), "at least one pattern on one window"),
        (np.array([[1.0, np.inf]]), "must be finite"),
        (np.array([[1.0, np.nan]]), "must be finite"),
    ],
)
def test_responses_that_say_nothing_are_refused(bad, says: str) -> None:
    with pytest.raises(InputError, match=says):
        herd(bad)
    with pytest.raises(InputError, match=says):
        herd_within(bad, np.zeros(bad.shape[-1], np.int64), 1)
