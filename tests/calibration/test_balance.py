"""Shares of windows, and an order that holds to them from the first window on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.calibration.balance import Balance, shares_of

SHARES = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=12)


@settings(max_examples=200)
@given(SHARES, st.integers(1, 120))
def test_no_beginning_is_a_whole_turn_away_from_the_shares(shares, turns) -> None:
    balance = Balance(shares)
    wanted = np.array(shares) / sum(shares)
    counts = np.zeros(len(shares))
    bound = 1 - 1 / (2 * len(shares) - 2) if len(shares) > 1 else 0.0
    for turn in range(1, turns + 1):
        counts[balance.next()] += 1
        assert np.abs(counts - turn * wanted).max() <= bound + 1e-6


@given(SHARES, st.lists(st.integers(0, 15), min_size=12, max_size=12))
def test_who_has_no_more_leaves_its_turns_to_the_others(shares, stock) -> None:
    left = dict(enumerate(stock[: len(shares)]))
    balance, given_out = Balance(shares), 0
    while not balance.over:
        who = balance.next()
        if left[who]:
            left[who] -= 1
            given_out += 1
        else:
            balance.leave(who)
    assert given_out == sum(stock[: len(shares)])
    assert not any(left.values())


def test_after_one_has_left_the_others_keep_their_shares() -> None:
    balance = Balance([0.5, 0.3, 0.2])
    stock, counts = [10_000, 2, 10_000], np.zeros(3)
    for _ in range(200):
        who = balance.next()
        while not stock[who]:
            balance.leave(who)
            who = balance.next()
        stock[who] -= 1
        counts[who] += 1
    assert counts[1] == 2
    assert counts[0] / counts[2] == pytest.approx(2.5, rel=0.05)


def test_equal_shares_take_turns() -> None:
    balance = Balance([1, 1, 1])
    assert [balance.next() for _ in range(6)] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("allocation", "shares"),
    [("proportional", [0.8, 0.2]), ("sqrt", [2 / 3, 1 / 3]), ("equal", [0.5, 0.5])],
)
def test_shares_go_by_the_size_its_root_or_by_nothing(allocation: str, shares) -> None:
    assert shares_of([400, 100], allocation) == pytest.approx(shares)


def test_another_allocation_is_refused() -> None:
    with pytest.raises(InputError, match="`allocation` must be proportional, equal or sqrt"):
        shares_of([1], "fair")
