from __future__ import annotations

from dataclasses import replace

import pytest
from toy_models import toy_model

from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.recovery.compensation.cuts import Cut, Place, cuts_of, places_of


def _blocks(kept: str) -> list[Place]:
    anatomy = find_anatomy(toy_model("llama"))
    (place,) = places_of(anatomy, [])[:1]
    gone = replace(place, kept=None, dropped=("unit",))
    return [place if k == "1" else gone for k in kept]


@pytest.mark.parametrize(
    ("kept", "cuts"),
    [
        ("11111", []),
        ("10011", [Cut(0, 0, 2)]),
        ("10110", [Cut(0, 0, 1), Cut(2, 3, 4)]),
        ("00111", [Cut(0, None, 1)]),
        ("11000", [Cut(0, 1, 4)]),
        ("01010", [Cut(0, None, 0), Cut(1, 1, 2), Cut(3, 3, 4)]),
    ],
)
def test_a_cut_goes_from_the_last_one_to_behind_what_is_dropped(kept: str, cuts: list[Cut]):
    assert list(cuts_of(_blocks(kept))) == cuts


def test_halves_one_after_the_other_are_places_of_their_own():
    anatomy = find_anatomy(toy_model("llama"), "half")
    places = places_of(anatomy, [1, 2, 7])
    assert [place.dropped for place in places if place.dropped] == [
        ("0.mlp",),
        ("1.attn",),
        ("3.mlp",),
    ]
    assert cuts_of(places) == (Cut(0, 0, 2), Cut(3, 6, 7))


def test_halves_side_by_side_are_one_place_that_may_be_kept_in_part():
    anatomy = find_anatomy(toy_model("gpt-neox-parallel"), "half")
    places = places_of(anatomy, [1, 2, 3])
    first = places[0].kept
    assert first is not None
    assert [part.name for part in first.silent] == ["0.mlp"]
    assert places[0].dropped == ("0.mlp",)
    assert places[1].kept is None
    assert places[1].dropped == ("1.attn", "1.mlp")
    # The kept half of block 0 is the last to write before the state behind block 1.
    assert cuts_of(places) == (Cut(0, 0, 1),)
