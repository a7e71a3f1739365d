from __future__ import annotations

import itertools
import random
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.evolution.operators import init_uniform
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.space import SearchSpace, Unit, dropped_units
from evop_deap.space.allowances import Allowance
from evop_deap.space.budget import least_share, parse_budget, units_to_drop
from evop_deap.surrogate.first_population import init_balanced

NAMES = ["0.attn", "0.mlp", "1.attn", "1.mlp", "2.attn", "2.mlp"]
UNITS = tuple(
    Unit(name, parameters=size, work=size, kv_bytes=held)
    for name, size, held in zip(NAMES, (10, 30) * 3, (8, 0) * 3, strict=True)
)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Spaces of up to nine units with one or two allowances."""
    weights = draw(st.lists(st.integers(1, 6), min_size=3, max_size=9))
    units = tuple(Unit(str(i), weight, weight) for i, weight in enumerate(weights))
    first = draw(st.integers(2, len(weights)))
    groups = [weights[:first] + [0] * (len(weights) - first)]
    if first < len(weights):
        groups.append([0] * first + weights[first:])
    allowances = tuple(
        Allowance("units", tuple(group), draw(st.integers(max(group), sum(group) - 1)))
        for group in groups
        if sum(group) > max(group)
    )
    space = SearchSpace.within(units, allowances) if allowances else SearchSpace(units, 1)
    return space


def all_patterns(space: SearchSpace) -> list[tuple[int, ...]]:
    return [p for p in itertools.product((0, 1), repeat=len(space.units)) if p in space]


@given(space=spaces())
def test_a_space_is_as_large_as_the_patterns_that_meet_its_budget(space: SearchSpace) -> None:
    assert space.size == len(all_patterns(space))


@given(space=spaces(), seed=st.integers(0, 99))
def test_any_order_of_preference_ends_in_the_space(space: SearchSpace, seed: int) -> None:
    rng = random.Random(seed)
    order = rng.sample(space.droppable, len(space.droppable))
    pattern = space.greedy(order[: rng.randint(0, len(order))])
    assert pattern in space
    # The first that fits at all goes.
    if not space.allowances:
        assert space.greedy(order)[order[0]] == 0


@settings(max_examples=60)
@given(space=spaces(), seed=st.integers(0, 99))
def test_children_meet_the_budget_of_their_parents(space: SearchSpace, seed: int) -> None:
    rng = random.Random(seed)
    toolbox = make_toolbox(space, TabularEvaluator({}, missing=1.0), rng)
    first, second = init_uniform(space, rng=rng), init_uniform(space, rng=rng)
    for child in (*toolbox.mate(first, second), *toolbox.mutate(toolbox.clone(first))):
        assert tuple(child) in space


@settings(max_examples=60)
@given(space=spaces(), n=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_first_generation_is_of_different_patterns_of_the_space(space, n, seed) -> None:
    population = init_balanced(space, n, rng=random.Random(seed))
    patterns = {genome.pattern for genome in population}
    assert len(patterns) == len(population) <= n
    assert all(pattern in space for pattern in patterns)


def test_counts_and_shares_of_each_kind() -> None:
    def limits(text: str) -> list[tuple[str, int]]:
        return [(a.name, a.limit) for a in parse_budget(text, UNITS)]

    assert limits("units=2") == [("units", 2)]
    assert limits("attn=1, mlp=2") == [("attn", 1), ("mlp", 2)]
    assert limits("attn=0.3") == [("attn", 1)]
    assert limits("parameters=0.5") == [("parameters", 60)]
    assert limits("kv=0.7") == [("kv", 16)]


def test_a_share_of_the_parameters_is_met_as_closely_below_as_what_went_allows() -> None:
    space = SearchSpace.within(UNITS, parse_budget("parameters=0.36", UNITS))
    used = {space.allowances[0].used(dropped_units(pattern)) for pattern in all_patterns(space)}
    assert space.allowances[0].limit == 43
    assert used == {30, 40}  # three attention halves, or one of either


def test_what_holds_no_cache_stays() -> None:
    space = SearchSpace.within(UNITS, parse_budget("kv=0.5", UNITS))
    assert space.droppable == (0, 2, 4)
    assert space.size == 3


def test_units_that_hardly_count_stay_where_the_others_suffice() -> None:
    # Of 12 blocks, every fourth attends to the whole context, and the others to a short window.
    held = tuple(1024 if block % 4 == 3 else 8 for block in range(12))
    units = tuple(Unit(str(i), 100, 100, kv_bytes=size) for i, size in enumerate(held))
    space = SearchSpace.within(units, parse_budget("kv=0.7", units))
    assert space.droppable == (3, 7, 11)
    assert space.n_drop == 2
    # Without them, less than the limit would go.
    most = SearchSpace.within(units, parse_budget("kv=0.99", units))
    assert most.droppable == tuple(range(12))
    # Those that fit must suffice: beside a block that does not fit, one of 20 is too little.
    mixed = tuple(Unit(str(i), 1, 1, kv_bytes=size) for i, size in enumerate((1024, 20, 1, 1, 1)))
    few = SearchSpace.within(mixed, parse_budget("kv=0.0206", mixed))
    assert few.allowances[0].limit == 21
    assert few.droppable == (0, 1, 2, 3, 4)
    # What does not fit is no measure of the others.
    little = SearchSpace.within(units, parse_budget("kv=0.006", units))
    assert (little.n_drop, little.droppable[:3]) == (2, (0, 1, 2))
    # Nor do protected blocks suffice, or are a measure of the others.
    heavy = tuple(Unit(str(i), 1, 1, kv_bytes=100 if i < 3 else 9) for i in range(23))
    kept = frozenset({0, 1})
    beside = SearchSpace.within(heavy, parse_budget("kv=0.4", heavy, kept), kept)
    assert (beside.n_drop, beside.droppable) == (20, tuple(range(2, 23)))


def test_a_budget_that_only_all_that_fits_could_meet_is_refused() -> None:
    # One block holds most of the cache, and does not fit a half of it: all others would go.
    units = tuple(Unit(str(i), 100, 100, kv_bytes=held) for i, held in enumerate([77, 7, 8, 8]))
    with pytest.raises(InputError) as caught:
        parse_budget("kv=0.5", units)
    assert str(caught.value) == (
        "`budget` kv=0.5 drops all units that fit it, a share of 0.23: "
        "choose less than that, or at least 0.77"
    )
    assert SearchSpace.within(units, parse_budget("kv=0.2", units)).size == 3
    assert SearchSpace.within(units, parse_budget("kv=0.77", units)).size == 2


def test_a_space_with_too_many_different_weights_is_not_counted() -> None:
    weights = tuple(1 << i for i in range(40))
    assert Allowance("parameters", weights, sum(weights) // 2).count(()) == sys.maxsize


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.2", "`budget` must be KIND=AMOUNT with a kind among units, attn"),
        ("heads=2", "but got 'heads=2'"),
        ("units=0", "a whole number from 1 to 6 or a share between 0 and 1, both excluded"),
        ("units=7", "but got '7'"),
        ("parameters=2", "`budget` parameters must be a share between 0 and 1"),
        ("parameters=nan", "but got 'nan'"),
        ("parameters=0.01", "is less than the lightest unit: at least 0.0834"),
        ("attn=1,units=2", "covers unit '0.attn' twice"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_budget(text, UNITS)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("budget", "protected", "says"),
    [
        ("units=4", {0, 1, 2}, "`protect` leaves 3 of the 4 units that `budget` units drops"),
        ("units=0.7", {0, 1, 2}, "`protect` leaves 3 of the 4 units"),
        ("units=6", set(), "`budget` drops all of 6 units"),
        ("units=6", set(), "all of 6 units: choose another budget$"),
        ("parameters=0.5", set(range(6)), "drops none of 6 units, 6 of which `protect` keeps"),
        (
            "parameters=0.5",
            {0, 1, 2, 3},
            "a share of 33.3 %, but `budget` .* up to 50.0 %",
        ),
    ],
)
def test_what_protection_leaves_no_room_for_is_refused(
    budget: str, protected: set[int], says: str
) -> None:
    units = tuple(Unit(str(i), parameters=100, work=100) for i in range(6))
    with pytest.raises(InputError, match=says):
        SearchSpace.within(units, parse_budget(budget, units), frozenset(protected))


@pytest.mark.parametrize("units", [2, 3, 6, 7, 12, 30, 48, 333, 2048])
def test_the_shares_that_are_named_instead_are_not_refused(units: int) -> None:
    for refused in (0.4 / units, (units - 0.4) / units):
        with pytest.raises(InputError, match="choose between") as caught:
            units_to_drop(units, refused)
        least, most = map(float, re.findall(r"between (\S+) and (\S+)", str(caught.value))[0])
        assert units_to_drop(units, least) == 1
        assert units_to_drop(units, most) == units - 1
    assert units_to_drop(units, float(least_share(min(2, units - 1), units))) == min(2, units - 1)


def test_what_protection_leaves_must_fit_the_budget() -> None:
    units = tuple(Unit(str(i), 100, 100, kv_bytes=held) for i, held in enumerate([77, 7, 8, 8]))
    allowances = parse_budget("kv=0.2", units)
    # The block of 77 may go, but does not fit: the only one left that does would have to.
    with pytest.raises(InputError, match=r"leaves units with a share of 7.0 %, but .* up to 20.0"):
        SearchSpace.within(units, allowances, frozenset({2, 3}))


def test_a_share_is_taken_as_it_is_written() -> None:
    assert [units_to_drop(45, 0.7), units_to_drop(25, 0.58), units_to_drop(90, 0.35)] == [
        32,
        15,
        32,
    ]
    units = tuple(Unit(str(i), parameters=100, work=100) for i in range(30))
    assert SearchSpace.within(units, parse_budget("parameters=0.7", units)).n_drop == 21


def test_halves_have_no_budget_where_units_are_blocks() -> None:
    with pytest.raises(InputError, match="`budget` attn needs --granularity half"):
        parse_budget("attn=1", (Unit("0", 10, 10), Unit("1", 10, 10)))
