"""Kept halves become the fewest layers, in their order, each half once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.models.surgery.packing import Fits, Layer, leftovers, pack

Live = list[tuple[bool, bool]]
lives = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=7)
fitting = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)))

# What EvoPress found for Llama-2-7B at 25 %: the blocks that lose each.
EVOPRESS_LLAMA_2_25 = {"attn": {14, 24, 27}, "mlp": {9, 11, 22}, "attn+mlp": {10, 12, 13, 23, 25}}


def live_halves(n_blocks: int, gone: dict[str, set[int]]) -> Live:
    attention = gone["attn"] | gone["attn+mlp"]
    mlp = gone["mlp"] | gone["attn+mlp"]
    return [(i not in attention, i not in mlp) for i in range(n_blocks)]


def order(layers: tuple[Layer, ...]) -> list[tuple[int, str]]:
    """The halves that work, as they run."""
    halves = []
    for layer in layers:
        halves += [] if layer.attention is None else [(layer.attention, "attn")]
        halves += [] if layer.mlp is None else [(layer.mlp, "mlp")]
    return halves


def kept(live: Live) -> list[tuple[int, str]]:
    return [
        (i, name)
        for i, pair in enumerate(live)
        for name, is_kept in zip(("attn", "mlp"), pair, strict=True)
        if is_kept
    ]


def fewest_by_trying(halves: list[tuple[int, str]], fits: Fits) -> int:
    """Cut the sequence of live halves into layers in every way."""
    if not halves:
        return 0
    alone = 1 + fewest_by_trying(halves[1:], fits)
    if len(halves) > 1 and (halves[0][1], halves[1][1]) == ("attn", "mlp"):
        i, j = halves[0][0], halves[1][0]
        if i == j or fits(i, j):
            return min(alone, 1 + fewest_by_trying(halves[2:], fits))
    return alone


@given(lives, fitting)
def test_no_other_way_needs_fewer_layers(live: Live, allowed: set[tuple[int, int]]) -> None:
    def fits(i: int, j: int) -> bool:
        return (i, j) in allowed

    assert len(pack(live, fits)) == fewest_by_trying(kept(live), fits)


@given(lives, fitting)
def test_every_live_half_works_once_and_in_its_order(
    live: Live, allowed: set[tuple[int, int]]
) -> None:
    layers = pack(live, lambda i, j: (i, j) in allowed)
    assert order(layers) == kept(live)
    for layer in layers:
        assert layer.attention is not None or layer.mlp is not None
        if layer.is_whole and layer.attention != layer.mlp:
            assert (layer.attention, layer.mlp) in allowed


@given(lives)
def test_filled_up_by_their_own_blocks_layers_stay_in_the_order_of_the_dense_model(
    live: Live,
) -> None:
    layers = pack(live)
    attention = [layer.mlp if layer.attention is None else layer.attention for layer in layers]
    mlp = [layer.attention if layer.mlp is None else layer.mlp for layer in layers]
    for sources in (attention, mlp):
        assert all(before < after for before, after in pairwise(sources))


@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_whole_blocks_stay_what_they_are(blocks: list[bool]) -> None:
    expected = tuple(Layer(i, i) for i, is_kept in enumerate(blocks) if is_kept)
    assert pack([(is_kept, is_kept) for is_kept in blocks], lambda i, j: False) == expected


def test_halves_with_something_live_between_them_are_not_one_layer() -> None:
    live = [(True, False), (True, False), (False, True)]
    assert pack(live) == (Layer(0, None), Layer(1, 2))
    live = [(False, True), (False, True), (True, False)]
    layers = (Layer(None, 0), Layer(None, 1), Layer(2, None))
    assert pack(live) == leftovers(layers) == layers


def test_whole_dropped_blocks_between_two_halves_do_not_matter() -> None:
    assert pack([(True, False), (False, False), (False, False), (False, True)]) == (Layer(0, 3),)


def test_a_published_pattern_needs_25_layers_instead_of_27() -> None:
    live = live_halves(32, EVOPRESS_LLAMA_2_25)
    layers = pack(live)
    assert sum(any(pair) for pair in live) == 27
    assert (len(layers), len(leftovers(layers))) == (25, 2)


@pytest.mark.parametrize("live", [[], [(False, False)] * 3])
def test_nothing_live_needs_no_layer(live: Live) -> None:
    assert pack(live) == ()
