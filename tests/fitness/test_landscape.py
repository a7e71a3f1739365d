"""Landscape files: exact, whole, and refused in one line however damaged."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from transformers import PreTrainedModel

from evop_deap.base.errors import InputError, OutputError
from evop_deap.fitness.landscape import Landscape, load_landscape, save_landscape
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.space import Pattern, SearchSpace, Unit, dropped_units

AllPatterns = Callable[[SearchSpace, Sequence[int]], list[Pattern]]

ARRAYS = ["patterns", "sums", "tokens", "work", "parameters", "head_work"]


def units_of(count: int) -> tuple[Unit, ...]:
    return tuple(Unit(str(i), parameters=100 + i, work=10 + i) for i in range(count))


def small() -> Landscape:
    """Three patterns of three units on two windows."""
    return Landscape(
        units=units_of(3),
        patterns=np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], np.uint8),
        sums=np.array([[30.0, 1 / 3], [20.0, 2 / 3], [25.5, 1e-300]]),
        tokens=np.array([10, 12]),
        head_work=7,
        about={"model": "käse", "seed": 3},
    )


@st.composite
def landscapes(draw: st.DrawFn) -> Landscape:
    count = draw(st.integers(1, 5))
    bit = st.sampled_from([0, 1])
    patterns = draw(st.lists(st.tuples(*[bit] * count), min_size=1, max_size=6, unique=True))
    windows = draw(st.integers(1, 3))
    large = st.integers(0, 2**62)
    units = st.builds(Unit, name=st.text(max_size=3), parameters=large, work=large)
    keys = st.text(max_size=9).filter(lambda key: key not in {"format", "units", "fingerprint"})
    plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    values = st.recursive(plain, lambda v: st.lists(v) | st.dictionaries(keys, v), max_leaves=4)
    chosen = draw(st.lists(units, min_size=count, max_size=count, unique_by=lambda u: u.name))
    head_work = draw(large)
    assume(sum(unit.work for unit in chosen) + head_work > 0)  # else it is refused
    return Landscape(
        units=tuple(chosen),
        patterns=np.array(patterns, dtype=np.uint8),
        sums=draw(npst.arrays(np.float64, (len(patterns), windows))),
        tokens=draw(npst.arrays(np.int64, windows, elements=st.integers(1, 2**40))),
        head_work=head_work,
        about=draw(st.dictionaries(keys, values, max_size=3)),
    )


def content(path: Path) -> dict[str, Any]:
    """The arrays of a file, `about` as the object that it spells."""
    with np.load(path, allow_pickle=False) as archive:
        arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    return {**arrays, "about": json.loads(str(arrays["about"]))}


def write(path: Path, *, stated: bool = False, **changes: Any) -> Path:
    """The small landscape with other arrays; without a stated fingerprint unless asked for.

    `about` is merged into what stands there; None takes an array away.
    """
    save_landscape(path, small())
    arrays = content(path)
    about = {**arrays.pop("about"), **changes.pop("about", {})}
    if not stated:
        del about["fingerprint"]
    arrays = {**arrays, "about": np.array(json.dumps(about)), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def assert_refused(path: Path, match: str) -> None:
    """Loading ends in one line that names the file, once, and says `match`."""
    with pytest.raises(InputError, match=match) as refusal:
        load_landscape(path)
    message = str(refusal.value)
    assert len(message.splitlines()) == 1
    assert message.count(str(path)) == 1


@settings(max_examples=40)
@given(landscape=landscapes())
def test_a_landscape_comes_back_as_it_was(
    landscape: Landscape, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("landscape") / "deep" / "some.npz"
    save_landscape(path, landscape)
    loaded = load_landscape(path)
    for name in ("patterns", "sums", "tokens"):
        before, after = getattr(landscape, name), getattr(loaded, name)
        np.testing.assert_array_equal(after, before)
        assert after.dtype == before.dtype
    assert loaded.units == landscape.units
    assert loaded.head_work == landscape.head_work
    assert loaded.about == landscape.about
    assert loaded.fingerprint == landscape.fingerprint
    assert loaded.rows == {tuple(p): row for row, p in enumerate(landscape.patterns.tolist())}
    assert [found.name for found in path.parent.iterdir()] == ["some.npz"]


def test_a_file_holds_the_arrays_that_the_format_names(tmp_path: Path) -> None:
    save_landscape(tmp_path / "some.npz", small())
    arrays = content(tmp_path / "some.npz")
    about = arrays.pop("about")
    assert {name: (array.dtype, array.shape) for name, array in arrays.items()} == {
        "patterns": (np.dtype(np.uint8), (3, 3)),
        "sums": (np.dtype(np.float64), (3, 2)),
        "tokens": (np.dtype(np.int64), (2,)),
        "work": (np.dtype(np.int64), (3,)),
        "parameters": (np.dtype(np.int64), (3,)),
        "head_work": (np.dtype(np.int64), ()),
    }
    assert about == {
        "format": 1,
        "units": ["0", "1", "2"],
        "fingerprint": small().fingerprint,
        "model": "käse",
        "seed": 3,
    }


def test_a_file_that_others_made_needs_no_fingerprint(tmp_path: Path) -> None:
    loaded = load_landscape(write(tmp_path / "some.npz", sums=np.ones((3, 2), dtype=np.float32)))
    assert loaded.sums.tolist() == [[1.0, 1.0]] * 3
    assert loaded.sums.dtype == np.float64
    assert loaded.about == {"model": "käse", "seed": 3}


def test_a_landscape_replaces_another_whole_and_below_a_file_there_is_no_place(
    tmp_path: Path,
) -> None:
    path = tmp_path / "some.npz"
    path.write_text("old")
    save_landscape(path, small())
    assert load_landscape(path).fingerprint == small().fingerprint
    with pytest.raises(OutputError, match="cannot write .*below"):
        save_landscape(path / "below.npz", small())
    assert [found.name for found in tmp_path.iterdir()] == ["some.npz"]


def test_losses_are_means_over_all_tokens() -> None:
    np.testing.assert_allclose(
        small().losses, [(30 + 1 / 3) / 22, (20 + 2 / 3) / 22, 25.5 / 22], rtol=1e-15
    )


@given(landscape=landscapes(), data=st.data())
def test_the_fingerprint_changes_with_any_number(landscape: Landscape, data: st.DataObject) -> None:
    where = data.draw(st.sampled_from(["sums", "tokens", "work", "parameters", "head_work"]))
    change: dict[str, Any]
    if where == "head_work":
        change = {where: landscape.head_work + 1}
    elif where in ("work", "parameters"):
        row = data.draw(st.integers(0, len(landscape.units) - 1))
        unit = landscape.units[row]
        other = dataclasses.replace(unit, **{where: getattr(unit, where) + 1})
        change = {"units": (*landscape.units[:row], other, *landscape.units[row + 1 :])}
    else:
        array = getattr(landscape, where).copy()
        place = data.draw(st.integers(0, array.size - 1))
        # The very next number: the smallest change that there is.
        old = array.flat[place]
        array.flat[place] = old + 1 if where == "tokens" else np.nextafter(old, 0 if old else 1)
        if np.isnan(old):
            array.flat[place] = 0.0
        change = {where: array}
    changed = dataclasses.replace(landscape, **change)
    assert changed.fingerprint != landscape.fingerprint
    assert dataclasses.replace(landscape).fingerprint == landscape.fingerprint


def test_the_fingerprint_changes_with_genes_order_and_names_and_not_with_the_rest() -> None:
    others = {
        "gene": dataclasses.replace(
            small(), patterns=np.array([[1, 1, 0], [1, 0, 1], [0, 0, 1]], np.uint8)
        ),
        "order": dataclasses.replace(small(), patterns=small().patterns[::-1]),
        "windows swapped": dataclasses.replace(
            small(), sums=small().sums[:, ::-1], tokens=small().tokens[::-1]
        ),
        "name": dataclasses.replace(small(), units=(Unit("x", 100, 10), *units_of(3)[1:])),
    }
    prints = {landscape.fingerprint for landscape in others.values()}
    assert len(prints | {small().fingerprint}) == len(others) + 1
    assert dataclasses.replace(small(), about={}).fingerprint == small().fingerprint


def test_the_fingerprint_does_not_depend_on_how_numbers_lie_in_memory() -> None:
    strided = dataclasses.replace(
        small(),
        patterns=np.asfortranarray(small().patterns),
        sums=np.repeat(small().sums, 2, axis=1)[:, ::2],
        tokens=small().tokens.astype(">i8"),
    )
    assert strided.fingerprint == small().fingerprint


@given(data=st.data())
def test_spaces_are_those_that_are_known_whole(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    every = list(itertools.product([0, 1], repeat=count))
    # Few are missing, so that often some spaces are whole and some are not.
    missing = data.draw(st.lists(st.sampled_from(every), max_size=min(3, len(every) - 1)))
    known = [p for p in data.draw(st.permutations(every)) if p not in missing]
    landscape = Landscape(
        units_of(count),
        np.array(known, np.uint8),
        np.ones((len(known), 1)),
        np.array([1]),
        head_work=1,
        about={},
    )
    whole = [n for n in range(1, count) if all(p in known for p in every if p.count(0) == n)]
    assert landscape.spaces() == tuple(SearchSpace(landscape.units, n) for n in whole)


@pytest.mark.parametrize(
    ("patterns", "drops"),
    [
        ([[1, 1, 1]], []),
        ([[0, 0, 0]], []),
        ([[1, 1, 1], [0, 1, 1], [1, 0, 1]], []),
        ([[0, 1, 1], [1, 0, 1], [1, 1, 0]], [1]),
        ([[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 1]], [2]),
        ([[1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0]], [1, 2]),
    ],
)
def test_the_dense_the_empty_and_a_part_are_no_spaces(
    patterns: list[list[int]], drops: list[int]
) -> None:
    count = len(patterns)
    landscape = Landscape(
        units_of(3), np.array(patterns, np.uint8), np.ones((count, 1)), np.array([1]), 1, {}
    )
    assert [space.n_drop for space in landscape.spaces()] == drops


def test_units_dropped_by_the_hundreds_are_counted_right() -> None:
    # More than a byte holds.
    patterns = 1 - np.eye(300, dtype=np.uint8)
    landscape = Landscape(units_of(300), patterns, np.ones((300, 1)), np.array([1]), 1, {})
    assert [space.n_drop for space in landscape.spaces()] == [1]


def named(case: object) -> str:
    """What a case changes, for its name."""
    if not isinstance(case, dict):
        return str(case).replace(" ", "-")
    return "-".join(
        f"{name}-{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else name
        for name, value in case.items()
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"patterns": np.ones((3, 2), np.uint8)}, "do not fit together"),
        ({"patterns": np.ones(3, np.uint8)}, "do not fit together"),
        ({"units": units_of(2)}, "do not fit together"),
        ({"sums": np.ones((2, 2))}, "do not fit together"),
        ({"sums": np.ones((3, 3))}, "do not fit together"),
        ({"sums": np.ones(3)}, "do not fit together"),
        ({"tokens": np.array([10])}, "do not fit together"),
        ({"tokens": np.array([[10], [12]])}, "do not fit together"),
        ({"tokens": np.array([[10, 1], [12, 1]])}, "do not fit together"),
        ({"tokens": np.array([10, 0])}, "windows with tokens"),
        ({"tokens": np.array([-1, 10])}, "windows with tokens"),
        ({"tokens": np.zeros(0, np.int64), "sums": np.ones((3, 0))}, "windows with tokens"),
        ({"patterns": np.ones((0, 3), np.uint8), "sums": np.ones((0, 2))}, "must hold patterns"),
        ({"patterns": np.array([[1, 1, 2], [1, 0, 1], [0, 1, 1]], np.uint8)}, "0 and 1"),
        ({"patterns": np.array([[1, 0, 1], [0, 1, 1], [1, 0, 1]], np.uint8)}, "all be different"),
    ],
    ids=named,
)
def test_what_does_not_fit_together_is_no_landscape(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        dataclasses.replace(small(), **changes)
    if "units" in changes:
        units = changes["units"]
        changes = {
            "about": {"units": [unit.name for unit in units]},
            "work": np.array([unit.work for unit in units]),
            "parameters": np.array([unit.parameters for unit in units]),
        }
    assert_refused(write(tmp_path / "some.npz", **changes), says)


@pytest.mark.parametrize("gene", [2, 255, 256, -1, -256, 0.5, 1.5, 257, float("nan")])
def test_a_gene_other_than_0_and_1_is_not_rounded_to_one(tmp_path: Path, gene: float) -> None:
    # All patterns stay different whatever becomes of the gene.
    patterns = np.array([[1, 1, 0], [1, 0, 1], [0, 0, gene]])
    assert_refused(write(tmp_path / "some.npz", patterns=patterns), "is not a landscape file")


@pytest.mark.parametrize(
    "changes",
    [
        {"work": np.array([1, 2])},
        {"work": np.array(1)},
        {"work": np.ones((3, 2), np.int64)},
        {"parameters": np.array([1, 2, 3, 4])},
        {"parameters": np.ones((3, 2), np.int64)},
        {"head_work": np.array([1, 2])},
        {"patterns": np.array(1)},
        {"sums": np.array(1.0)},
        {"tokens": np.array(10)},
        {"tokens": np.array([10.5, 12.0])},
        {"sums": np.array([["a", "b"]] * 3)},
        {"about": {"units": ["0", "1"]}},
        {"about": {"units": 3}},
    ],
    ids=named,
)
def test_an_array_of_another_shape_or_kind_is_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert_refused(write(tmp_path / "some.npz", **changes), "is not a landscape file")


@pytest.mark.parametrize("name", [*ARRAYS, "about"])
def test_a_file_that_lacks_an_array_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "some.npz")
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files if key != name}
    np.savez(path, **arrays)
    assert_refused(path, f"is not a landscape file: .*{name}")


@pytest.mark.parametrize("about", ["[1]", "5", "null", '"text"', "no JSON", "", "{}"])
def test_a_file_that_says_nothing_of_itself_is_refused(tmp_path: Path, about: str) -> None:
    path = write(tmp_path / "some.npz")
    with np.load(path) as archive:
        arrays = {**archive, "about": np.array(about)}
    np.savez(path, **arrays)
    assert_refused(path, "is not a landscape file")


@pytest.mark.parametrize("number", [0, 2, "1", None])
def test_another_format_is_refused(tmp_path: Path, number: object) -> None:
    path = write(tmp_path / "some.npz", about={"format": number})
    assert_refused(path, "has another format than 1$")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none.npz", "cannot be read: No such file")
    assert_refused(tmp_path, "cannot be read: Is a directory")


@pytest.mark.parametrize("text", ["", "P", "PK", "pattern,loss\n101,2.5\n", '{"format": 1}', "\0"])
def test_a_text_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some.npz"
    path.write_text(text)
    assert_refused(path, "is not a landscape file")


def test_a_bare_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "some.npy", np.ones((3, 3), np.uint8))
    assert_refused(tmp_path / "some.npy", "is not a landscape file")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    save_landscape(path, small())
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert_refused(path, "is not a landscape file")


@settings(max_examples=300)
@given(place=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_a_file_with_a_damaged_byte_is_the_same_landscape_or_refused(
    place: float, flipped: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "some.npz"
    save_landscape(path, small())
    damaged = bytearray(path.read_bytes())
    damaged[int(place * len(damaged))] ^= flipped
    path.write_bytes(damaged)
    try:
        loaded = load_landscape(path)
    except InputError:
        assert_refused(path, "is not a landscape file|was changed|cannot be read")
    else:
        assert loaded.fingerprint == small().fingerprint
        assert loaded.about == small().about


class Harmful:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("name", [*ARRAYS, "about"])
def test_a_pickled_array_is_refused_and_never_unpickled(tmp_path: Path, name: str) -> None:
    path, trace = write(tmp_path / "some.npz"), tmp_path / "trace"
    with np.load(path) as archive:
        arrays: dict[str, Any] = dict(archive)
    arrays[name] = np.array([Harmful(trace)], dtype=object)
    np.savez(path, **arrays)
    assert_refused(path, "is not a landscape file")
    assert not trace.exists()
    # The trap works.
    with np.load(path, allow_pickle=True) as archive:
        assert archive[name].shape == (1,)
    assert trace.exists()


def test_a_pickle_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    path, trace = tmp_path / "some.npz", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Harmful(trace)))
    assert_refused(path, "is not a landscape file")
    assert not trace.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"sums": np.nextafter(small().sums, 0)},
        {"sums": small().sums[:, ::-1]},
        {"patterns": small().patterns[::-1]},
        {"tokens": np.array([10, 13])},
        {"work": np.array([10, 11, 13])},
        {"parameters": np.array([100, 101, 103])},
        {"head_work": np.array(8)},
        {"about": {"units": ["0", "1", "3"]}},
    ],
    ids=named,
)
def test_changed_numbers_under_the_old_fingerprint_are_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = write(tmp_path / "some.npz", stated=True)
    assert load_landscape(path).fingerprint == small().fingerprint
    assert_refused(
        write(path, stated=True, **changes), "was changed: it does not match its fingerprint$"
    )


@pytest.fixture(scope="module")
def all_patterns() -> Iterator[AllPatterns]:
    """From `benchmarks`, which is not installed: found from wherever the tests are started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2])
        from benchmarks.landscapes.make import all_patterns

        yield all_patterns


@given(data=st.data())
def test_all_patterns_are_the_dense_one_and_every_combination_once(
    all_patterns: AllPatterns, data: st.DataObject
) -> None:
    count = data.draw(st.integers(2, 6))
    protected = data.draw(st.frozensets(st.integers(0, count - 1), max_size=count - 1))
    space = SearchSpace(units_of(count), 1, protected)
    drops = data.draw(st.lists(st.integers(1, len(space.droppable)), unique=True))
    patterns = all_patterns(space, drops)
    expected = [
        pattern
        for pattern in itertools.product([0, 1], repeat=count)
        if protected.isdisjoint(dropped_units(pattern)) and pattern.count(0) in (0, *drops)
    ]
    assert Counter(patterns) == Counter(expected)
    assert patterns[0] == space.dense


def test_neighbours_among_all_patterns_share_their_beginnings(all_patterns: AllPatterns) -> None:
    patterns = all_patterns(SearchSpace(units_of(5), 2), [1, 2])
    for depth in range(1, 5):
        prefixes = [prefix for prefix, _ in itertools.groupby(p[:depth] for p in patterns)]
        assert len(prefixes) == len(set(prefixes))


N_WINDOWS = 4


@pytest.fixture(scope="module")
def anatomy(llama: PreTrainedModel) -> Anatomy:
    return find_anatomy(llama)


@pytest.fixture(scope="module")
def judge(llama: PreTrainedModel, anatomy: Anatomy) -> Callable[[], PopulationEvaluator]:
    """Makes an evaluator that has judged nothing yet."""
    tokens = np.random.default_rng(0).integers(0, llama.config.vocab_size, (N_WINDOWS, 12))
    return lambda: PopulationEvaluator(llama, anatomy, tokens, windows_at_once=1)


@pytest.fixture(scope="module")
def landscape_file(
    anatomy: Anatomy,
    judge: Callable[[], PopulationEvaluator],
    all_patterns: AllPatterns,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Everything that drops at most one block of a toy."""
    units = tuple(Unit(str(b.index), b.parameters, b.work) for b in anatomy.blocks)
    patterns = all_patterns(SearchSpace(units, 1), [1])
    evaluation = judge().evaluate(patterns)
    path = tmp_path_factory.mktemp("toy") / "toy.npz"
    landscape = Landscape(
        units,
        np.array(patterns, np.uint8),
        evaluation.sums,
        evaluation.tokens,
        anatomy.head_work,
        about={"model": "toy"},
    )
    save_landscape(path, landscape)
    return path


def test_the_landscape_of_a_model_knows_its_space(landscape_file: Path, anatomy: Anatomy) -> None:
    (space,) = load_landscape(landscape_file).spaces()
    assert (space.n_drop, space.size) == (1, len(anatomy.blocks))
    assert [unit.work for unit in space.units] == [block.work for block in anatomy.blocks]


@settings(max_examples=30)
@given(data=st.data())
def test_a_table_of_a_landscape_answers_like_the_evaluator_that_made_it(
    landscape_file: Path, judge: Callable[[], PopulationEvaluator], data: st.DataObject
) -> None:
    table = TabularEvaluator.from_file(landscape_file)
    known = sorted(load_landscape(landscape_file).rows)
    population = data.draw(st.lists(st.sampled_from(known), max_size=8))
    some = st.lists(st.integers(0, N_WINDOWS - 1), min_size=1, unique=True)
    windows = data.draw(st.none() | some)
    found, expected = table.evaluate(population, windows), judge().evaluate(population, windows)
    np.testing.assert_array_equal(found.sums, expected.sums)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_array_equal(found.losses, expected.losses)
    np.testing.assert_allclose(found.costs, expected.costs, rtol=1e-12)
    assert found.cost == pytest.approx(expected.cost, rel=1e-12)
