"""Windows from strata: one kind of text each, in balance from the first on, with weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.calibration import Document, pack_windows
from evop_deap.calibration.strata import Stratum, draw_windows, text_sizes, window_weights

WINDOW = 16


def stratum(label: int, count: int, share: float, length: int = 60) -> Stratum:
    letter = "abcdefgh"[label]
    documents = (Document(f"{letter}{i}", f"{i} {letter} " * length) for i in range(count))
    return Stratum(label, tuple(documents), share, size=float(count))


def drawn(strata, tokenizer, count: int, **changes):
    return draw_windows(
        strata,
        tokenizer,
        window=WINDOW,
        tokens=count * WINDOW,
        rng_of=lambda label: np.random.default_rng([7, label]),
        **changes,
    )


@settings(max_examples=30)
@given(st.lists(st.floats(0.05, 1.0), min_size=1, max_size=5), st.integers(1, 60))
def test_every_beginning_has_the_shares_give_or_take_a_window(tokenizer, shares, count) -> None:
    strata = [stratum(label, 40, share) for label, share in enumerate(shares)]
    found = drawn(strata, tokenizer, count)
    wanted = np.array(shares) / sum(shares)
    assert found.windows.tokens.shape == (count, WINDOW)
    for length in range(1, count + 1):
        counts = np.bincount(found.labels[:length], minlength=len(shares))
        assert np.abs(counts - length * wanted).max() < 1


def test_a_window_holds_text_of_one_stratum_only(tokenizer) -> None:
    strata = [stratum(0, 20, 0.7, length=1), stratum(1, 20, 0.3, length=1)]
    found = drawn(strata, tokenizer, 6)
    for label, stretches in zip(found.labels.tolist(), found.windows.stretches, strict=True):
        assert {stretch.document[0] for stretch in stretches} == {"ab"[label]}
        assert len(stretches) > 1


def test_more_windows_leave_the_first_ones_as_they_are(tokenizer) -> None:
    strata = [stratum(0, 9, 0.6), stratum(1, 9, 0.4)]
    few, more = drawn(strata, tokenizer, 5), drawn(strata, tokenizer, 17)
    assert np.array_equal(more.windows.tokens[:5], few.windows.tokens)
    assert more.windows.stretches[:5] == few.windows.stretches


def test_a_single_stratum_is_packed_as_documents_are(tokenizer) -> None:
    only = stratum(0, 12, 1.0)
    found = drawn([only], tokenizer, 10).windows
    plain = pack_windows(
        only.documents,
        tokenizer,
        window=WINDOW,
        tokens=10 * WINDOW,
        rng=np.random.default_rng([7, 0]),
    )
    assert found.fingerprint == plain.fingerprint
    assert found.stretches == plain.stretches


def test_a_stratum_that_is_used_up_leaves_its_turns_to_the_others(tokenizer) -> None:
    strata = [stratum(0, 1, 0.9, length=10), stratum(1, 30, 0.1)]
    found = drawn(strata, tokenizer, 20)
    assert 0 < (found.labels == 0).sum() < 18
    assert (found.labels == 1).sum() == 20 - (found.labels == 0).sum()


def test_too_little_text_is_refused_with_what_would_do(tokenizer) -> None:
    strata = [stratum(0, 1, 0.5, length=5), stratum(1, 1, 0.5, length=5)]
    with pytest.raises(InputError, match=r"`tokens` \(1600\) asks for 100 windows.*lower it to"):
        drawn(strata, tokenizer, 100)
    assert len(drawn(strata, tokenizer, 100, least=WINDOW).labels) >= 1
    with pytest.raises(InputError, match=r"`tokens` \(0\) must be at least `window`"):
        drawn(strata, tokenizer, 0)


def test_windows_can_be_taken_in_another_order(tokenizer) -> None:
    found = drawn([stratum(0, 9, 0.5), stratum(1, 9, 0.5)], tokenizer, 6)
    taken = found.take([4, 1])
    assert np.array_equal(taken.windows.tokens, found.windows.tokens[[4, 1]])
    assert taken.labels.tolist() == found.labels[[4, 1]].tolist()
    assert taken.windows.stretches == (found.windows.stretches[4], found.windows.stretches[1])


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=40),
    st.lists(st.floats(0.1, 50.0), min_size=5, max_size=5),
)
def test_corpus_weights_make_the_mean_that_of_the_corpus(labels, sizes) -> None:
    labels = np.array(labels)
    known = dict(enumerate(sizes))
    weights = window_weights(labels, known, "corpus")
    assert weights.mean() == pytest.approx(1)
    # Where every window of a stratum has the same loss, the weighted mean is the corpus's mean.
    losses = {label: 1.0 + label * label for label in known}
    heard = np.unique(labels).tolist()
    truth = sum(known[i] * losses[i] for i in heard) / sum(known[i] for i in heard)
    assert np.mean(weights * [losses[i] for i in labels.tolist()]) == pytest.approx(truth)


def test_cluster_weights_make_every_stratum_count_the_same() -> None:
    labels = np.array([0, 0, 0, 1, -1, -1])
    weights = window_weights(labels, {0: 5.0, 1: 1.0, -1: 9.0}, "cluster")
    assert [weights[labels == label].sum() for label in (0, 1, -1)] == pytest.approx([2, 2, 2])


def test_without_weighting_windows_count_the_same_and_nothing_else_is_known() -> None:
    assert window_weights(np.array([0, 3]), {}, "none").tolist() == [1.0, 1.0]
    with pytest.raises(InputError, match="`weighting` must be none, corpus or cluster"):
        window_weights(np.array([0]), {0: 1.0}, "size")


def test_a_document_counts_no_more_than_a_window() -> None:
    assert text_sizes(np.array([3, 16, 900]), 16).tolist() == [3, 16, 16]
