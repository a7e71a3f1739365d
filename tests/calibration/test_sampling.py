"""Ordering documents and parting them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.calibration import Document, random_order, split_documents
from evop_deap.calibration.sampling import in_order


def documents(count: int) -> list[Document]:
    return [Document(str(number), f"text {number}") for number in range(count)]


def test_every_document_is_equally_likely_to_come_first() -> None:
    rng = np.random.default_rng(0)
    orders = [tuple(random_order(documents(3), rng)) for _ in range(6_000)]
    counts = Counter(orders)
    assert len(counts) == 6
    assert all(850 < count < 1_150 for count in counts.values())


@given(st.integers(2, 60), st.floats(0.001, 0.999), st.integers(0, 99))
def test_a_split_parts_all_documents_and_leaves_neither_side_empty(count, share, seed) -> None:
    whole = documents(count)
    calibration, heldout = split_documents(whole, share, np.random.default_rng(seed))
    assert calibration
    assert heldout
    assert sorted(calibration + heldout, key=lambda document: int(document.id)) == whole
    assert abs(len(heldout) - share * count) <= 1
    again = split_documents(whole, share, np.random.default_rng(seed))
    assert again == (calibration, heldout)


def test_different_draws_hold_out_different_documents() -> None:
    held = {
        tuple(d.id for d in split_documents(documents(50), 0.2, np.random.default_rng(seed))[1])
        for seed in range(20)
    }
    assert len(held) == 20


@pytest.mark.parametrize("count", [0, 1])
def test_a_corpus_that_cannot_be_parted_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=rf"at least 2 documents.*but has {count}; give more"):
        split_documents(documents(count), 0.5, np.random.default_rng(0))


@pytest.mark.parametrize("share", [-0.1, 0.0, 1.0, 1.5, float("nan")])
def test_a_share_outside_0_and_1_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=r"`heldout_share` must be between 0 and 1"):
        split_documents(documents(4), share, np.random.default_rng(0))


def test_a_sampler_may_leave_documents_out_and_give_numpy_integers() -> None:
    whole = documents(4)
    chosen = in_order(whole, lambda d, rng: np.array([3, 1]), np.random.default_rng(0))
    assert chosen == [whole[3], whole[1]]


@pytest.mark.parametrize("order", [[0, 0], [-1], [4], [0, 1, 2, 3, 4]])
def test_a_sampler_that_names_no_document_or_one_twice_is_refused(order: list[int]) -> None:
    with pytest.raises(InputError, match=r"`sampler` must give distinct indices from 0 to 3"):
        in_order(documents(4), lambda d, rng: order, np.random.default_rng(0))
