from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evop_deap.fitness.model.memory_plan import EVALUATED_TOGETHER, MemoryPlan


@given(
    states=st.integers(0, 5000),
    windows=st.integers(1, 300),
    blocks=st.integers(1, 80),
    most=st.integers(1, 64),
    whole=st.integers(1, 64),
    stacked=st.booleans(),
)
def test_everything_held_fits_where_one_window_does(
    states: int, windows: int, blocks: int, most: int, whole: int, stacked: bool
) -> None:
    room = MemoryPlan.within(
        states, windows=windows, blocks=blocks, most=most, whole=whole, stacked=stacked
    )
    walking = 2 * room.together if room.stacked else blocks + EVALUATED_TOGETHER + 1
    groups = -(-windows // room.group)
    assert whole % room.group == 0
    assert 1 <= room.group <= max(1, most)
    assert room.group * (walking + 2 * groups * room.kept) <= max(states, walking)
    assert room.stack >= 1
    assert stacked or not room.stacked


def test_where_memory_is_tight_branches_are_followed_one_by_one() -> None:
    tight = MemoryPlan.within(31, windows=4, blocks=3, most=4, whole=4, stacked=True)
    roomy = MemoryPlan.within(32, windows=4, blocks=3, most=4, whole=4, stacked=True)
    assert (tight.stacked, roomy.stacked) == (False, True)
    assert (tight.together, roomy.together) == (1, 8)
