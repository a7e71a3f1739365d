"""The store of window sums: exact, shared, bounded, and never wrong however damaged."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.fitness.protocol import Evaluation
from evop_deap.fitness.store import LossStore
from evop_deap.fitness.stored_evaluator import StoredEvaluator
from evop_deap.space import Pattern

CONTEXTS = ["one", "two", ""]
WINDOWS = [f"w{i}" for i in range(5)]
PATTERNS: list[Pattern] = [(), (1,), (0, 1), (1, 0), (0, 0, 1), (1,) * 9, (0,) * 8]


def the_sum(context: str, pattern: Pattern, window: str) -> float:
    """What every test takes for the true sum of a key."""
    return random.Random(repr((context, pattern, window))).uniform(1, 1e6)


def the_sums(context: str, patterns: Sequence[Pattern], windows: Sequence[str]) -> np.ndarray:
    rows = [[the_sum(context, p, w) for w in windows] for p in patterns]
    return np.array(rows, dtype=float).reshape(len(patterns), len(windows))


def all_right_or_unknown(store: LossStore) -> int:
    """Check everything that the store says; returns how many sums it knows."""
    known = 0
    for context in CONTEXTS:
        sums = store.get(context, PATTERNS, WINDOWS)
        right = the_sums(context, PATTERNS, WINDOWS)
        assert (np.isnan(sums) | (sums == right)).all()
        known += int((~np.isnan(sums)).sum())
    return known


def fill(store: LossStore) -> None:
    for context in CONTEXTS:
        store.put(context, PATTERNS, WINDOWS, the_sums(context, PATTERNS, WINDOWS))


EVERYTHING = len(CONTEXTS) * len(PATTERNS) * len(WINDOWS)


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "losses.sqlite"
    with LossStore(path) as store:
        fill(store)
    return path


subsets = st.tuples(
    st.sampled_from(CONTEXTS),
    st.lists(st.sampled_from(PATTERNS), max_size=6),
    st.lists(st.sampled_from(WINDOWS), max_size=6),
)
floats = st.floats(width=64)
actions = st.one_of(
    st.tuples(st.just("put"), subsets, st.lists(floats, min_size=36, max_size=36)),
    st.tuples(st.just("get"), subsets, st.none()),
    st.tuples(st.just("reopen"), st.none(), st.none()),
    st.tuples(st.just("clear"), st.sampled_from([*CONTEXTS, None]), st.none()),
)


@settings(max_examples=60)
@given(st.lists(actions, max_size=25))
def test_any_sequence_of_actions_leaves_what_a_dict_would_hold(sequence) -> None:
    model: dict[tuple[str, Pattern, str], bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "losses.sqlite"
        store = LossStore(path)
        for action, where, numbers in sequence:
            if action == "reopen":
                store.close()
                store = LossStore(path)
            elif action == "clear":
                gone = [key for key in model if where in (None, key[0])]
                assert store.clear(where) == len(gone)
                for key in gone:
                    del model[key]
            elif action == "put":
                context, patterns, windows = where
                sums = np.resize(np.array(numbers), (len(patterns), len(windows)))
                store.put(context, patterns, windows, sums)
                for pattern, line in zip(patterns, sums, strict=True):
                    for window, number in zip(windows, line, strict=True):
                        if not math.isnan(number):
                            model.setdefault((context, pattern, window), struct.pack("<d", number))
            else:
                context, patterns, windows = where
                sums = store.get(context, patterns, windows)
                assert sums.shape == (len(patterns), len(windows))
                for pattern, line in zip(patterns, sums, strict=True):
                    for window, number in zip(windows, line, strict=True):
                        expected = model.get((context, pattern, window))
                        if expected is None:
                            assert math.isnan(number)
                        else:
                            assert struct.pack("<d", number) == expected
        rows = {summary.context: summary.rows for summary in store.summary()}
        assert rows == {c: n for c in CONTEXTS if (n := sum(key[0] == c for key in model))}
        store.close()


@pytest.mark.parametrize("number", [0.0, -0.0, 5e-324, math.inf, -math.inf, 0.1 + 0.2, 1.8e308])
def test_a_sum_comes_back_bit_for_bit_in_another_process(tmp_path: Path, number: float) -> None:
    path = tmp_path / "losses.sqlite"
    with LossStore(path) as store:
        store.put("c", [(1, 0)], ["w"], [[number]])
    program = (
        "import sys; from pathlib import Path; from evop_deap.fitness.store import LossStore\n"
        "with LossStore(Path(sys.argv[1])) as s:\n"
        "    print(s.get('c', [(1, 0)], ['w']).astype('<f8').tobytes().hex())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, path], check=True, capture_output=True, text=True
    )
    assert printed.stdout.strip() == struct.pack("<d", number).hex()


def test_more_patterns_than_a_statement_takes_variables_are_all_found(tmp_path: Path) -> None:
    patterns = [tuple(map(int, f"{i:011b}")) for i in range(2048)]
    windows = [f"w{i}" for i in range(3)]
    with LossStore(tmp_path / "losses.sqlite") as store:
        store.put("c", patterns, windows, the_sums("c", patterns, windows))
        some = random.Random(0).sample(patterns, 1999)
        for chosen in (windows, windows[1:2], windows[::-1]):
            assert (store.get("c", some, chosen) == the_sums("c", some, chosen)).all()
    with LossStore(tmp_path / "wide.sqlite") as store:
        many = [f"w{i}" for i in range(1500)]
        store.put("c", patterns[:2], many, the_sums("c", patterns[:2], many))
        assert (store.get("c", patterns[:2], many) == the_sums("c", patterns[:2], many)).all()


def test_sums_of_another_shape_are_refused(tmp_path: Path) -> None:
    with LossStore(tmp_path / "losses.sqlite") as store:
        with pytest.raises(InputError, match=r"`sums` must be of shape \(1, 2\)"):
            store.put("c", [(1,)], ["a", "b"], [[1.0]])
        assert store.summary() == []


def damaged_copy(content: bytes, folder: str) -> Path:
    path = Path(folder) / "losses.sqlite"
    path.write_bytes(content)
    return path


def survives(content: bytes) -> tuple[int, list[str]]:
    """Use a damaged file as a search would; returns what it still knew and what it said."""
    said: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = damaged_copy(content, folder)
        with LossStore(path, on_damage=said.append) as store:
            known = all_right_or_unknown(store)
            fill(store)
            all_right_or_unknown(store)
            store.summary()
            store.clear("one")
        with LossStore(path, on_damage=said.append) as store:
            all_right_or_unknown(store)
            store.clear()
            assert all_right_or_unknown(store) == 0
            fill(store)
            assert all_right_or_unknown(store) == EVERYTHING
    return known, said


@settings(max_examples=80)
@given(data=st.data())
def test_flipped_bytes_never_give_a_wrong_sum_nor_an_error(sound_file: Path, data) -> None:
    content = bytearray(sound_file.read_bytes())
    # Most of the file is unused: aim at the header, and at bytes that say something.
    written = [at for at, byte in enumerate(content) if byte or at < 100]
    where = data.draw(st.lists(st.sampled_from(written), min_size=1, max_size=4, unique=True))
    for at in where:
        content[at] ^= data.draw(st.integers(1, 255))
    survives(bytes(content))


@settings(max_examples=40)
@given(data=st.data())
def test_a_file_cut_off_anywhere_never_gives_a_wrong_sum(sound_file: Path, data) -> None:
    content = sound_file.read_bytes()
    survives(content[: data.draw(st.integers(0, len(content) - 1))])


def test_a_damaged_value_is_dropped_counted_said_once_and_mended(
    tmp_path: Path, sound_file: Path
) -> None:
    values = [struct.pack("<d", the_sum("one", PATTERNS[i], "w0")) for i in (1, 2)]
    content = bytearray(sound_file.read_bytes())
    for value in values:
        assert content.count(value) == 1
        content[content.index(value) + 7] ^= 1
    path = damaged_copy(bytes(content), str(tmp_path))
    said: list[str] = []
    with LossStore(path, on_damage=said.append) as store:
        assert all_right_or_unknown(store) == EVERYTHING - 2
        assert store.damaged_rows == 2
        assert all_right_or_unknown(store) == EVERYTHING - 2
        fill(store)
        assert all_right_or_unknown(store) == EVERYTHING
        assert store.damaged_rows == 2
    assert len(said) == 1
    assert "damaged rows" in said[0]
    assert not list(tmp_path.glob("*damaged*"))


def test_a_damaged_page_is_set_aside_and_what_can_be_read_is_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "losses.sqlite"
    patterns = [tuple(map(int, f"{i:010b}")) for i in range(1024)]
    with LossStore(path) as store:
        store.put("c", patterns, WINDOWS, the_sums("c", patterns, WINDOWS))
    content = bytearray(path.read_bytes())
    value = struct.pack("<d", the_sum("c", patterns[512], "w0"))
    page = content.index(value) // 4096 * 4096
    content[page : page + 8] = b"\xff" * 8
    path.write_bytes(content)
    said: list[str] = []
    with LossStore(path, on_damage=said.append) as store:
        sums = store.get("c", patterns, WINDOWS)
        right = the_sums("c", patterns, WINDOWS)
        assert (np.isnan(sums) | (sums == right)).all()
        assert 0 < np.isnan(sums).sum() < 400
        assert not np.isnan(sums[[0, -1]]).any()
    assert len(said) == 1
    assert "losses.sqlite.damaged-1" in said[0]
    assert (tmp_path / "losses.sqlite.damaged-1").read_bytes()[4096:] == content[4096:]


@pytest.mark.parametrize("content", [b"not a database" * 400, b"\0" * 8192, os.urandom(5000)])
def test_what_is_no_database_is_set_aside_under_a_free_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "losses.sqlite.damaged-1").write_text("an older one")
    path = damaged_copy(content, str(tmp_path))
    said: list[str] = []
    with LossStore(path, on_damage=said.append) as store:
        fill(store)
        assert all_right_or_unknown(store) == EVERYTHING
    assert (tmp_path / "losses.sqlite.damaged-2").read_bytes() == content
    assert (tmp_path / "losses.sqlite.damaged-1").read_text() == "an older one"
    assert len(said) == 1


def test_damage_while_in_use_costs_rows_and_nothing_else(tmp_path: Path, sound_file: Path) -> None:
    path = damaged_copy(sound_file.read_bytes(), str(tmp_path))
    said: list[str] = []
    open_store = partial(LossStore, on_damage=said.append)
    with open_store(path) as store, open_store(path) as other:
        assert all_right_or_unknown(store) == EVERYTHING
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        # A change by another connection has the first one read the file afresh.
        other.put("new", [(1, 1)], ["w"], [[1.0]])
        all_right_or_unknown(store)
        fill(store)
        assert all_right_or_unknown(store) == EVERYTHING


def test_without_a_listener_damage_is_a_warning(tmp_path: Path) -> None:
    path = damaged_copy(b"x" * 5000, str(tmp_path))
    with pytest.warns(RuntimeWarning, match="is damaged"):
        LossStore(path).close()


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "bookmarks.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bookmarks (url)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="another program"):
        LossStore(path)
    assert path.read_bytes() == before


def test_where_nothing_can_be_written_the_store_lives_in_memory_and_says_so_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    said: list[str] = []
    with LossStore(tmp_path / "file" / "losses.sqlite", on_damage=said.append) as store:
        assert not store.persistent
        fill(store)
        assert all_right_or_unknown(store) == EVERYTHING
    assert len(said) == 1
    assert "losses are not kept" in said[0]


@pytest.mark.parametrize("locked", ["folder", "file"])
def test_a_read_only_place_does_not_fail_a_search(
    tmp_path: Path, sound_file: Path, locked: str
) -> None:
    path = damaged_copy(sound_file.read_bytes(), str(tmp_path))
    target = tmp_path if locked == "folder" else path
    target.chmod(0o555 if locked == "folder" else 0o444)
    if os.access(target, os.W_OK):
        pytest.skip("this user writes everywhere")
    said: list[str] = []
    try:
        with LossStore(path, on_damage=said.append) as store:
            fill(store)
            assert all_right_or_unknown(store) == EVERYTHING
    finally:
        target.chmod(0o755)
    assert len(said) == 1
    assert path.read_bytes() == sound_file.read_bytes()


def test_a_file_that_is_deleted_or_replaced_in_use_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "losses.sqlite"
    with LossStore(path) as store:
        fill(store)
        for part in tmp_path.iterdir():
            part.unlink()
        assert all_right_or_unknown(store) == 0
        fill(store)
        with LossStore(path) as other:
            assert all_right_or_unknown(other) == EVERYTHING


def test_the_limit_holds_and_the_longest_unused_context_goes_first(tmp_path: Path) -> None:
    path = tmp_path / "losses.sqlite"
    limit = 1 << 20
    patterns = [tuple(map(int, f"{i:010b}")) for i in range(1024)]
    windows = [f"w{i}" for i in range(8)]

    def known(store: LossStore, context: str) -> float:
        sums = store.get(context, patterns, windows)
        assert (np.isnan(sums) | (sums == the_sums(context, patterns, windows))).all()
        return float((~np.isnan(sums)).mean())

    with LossStore(path, limit_bytes=limit) as store:
        for context in ("a", "b", "c"):
            store.put(context, patterns, windows, the_sums(context, patterns, windows))
    with LossStore(path, limit_bytes=limit) as store:
        assert known(store, "a") == 1
        for context in ("d", "e"):
            store.put(context, patterns, windows, the_sums(context, patterns, windows))
    assert path.stat().st_size <= limit
    with LossStore(path, limit_bytes=limit) as store:
        shares = {context: known(store, context) for context in "abcde"}
    assert shares["e"] == shares["d"] == 1
    assert shares["b"] == 0
    assert shares["a"] >= shares["c"]


def test_one_context_above_the_limit_loses_its_oldest_patterns(tmp_path: Path) -> None:
    path = tmp_path / "losses.sqlite"
    limit = 1 << 18
    windows = [f"w{i}" for i in range(8)]
    patterns = [tuple(map(int, f"{i:012b}")) for i in range(4096)]
    with LossStore(path, limit_bytes=limit) as store:
        for start in range(0, len(patterns), 64):
            some = patterns[start : start + 64]
            store.put("c", some, windows, the_sums("c", some, windows))
            assert not np.isnan(store.get("c", some, windows)).any()
        known = ~np.isnan(store.get("c", patterns, windows)).any(axis=1)
    assert path.stat().st_size <= limit
    assert known[-640:].all()
    assert (np.diff(known.astype(int)) >= 0).all()


def test_a_limit_that_cannot_hold_anything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`limit_bytes`"):
        LossStore(tmp_path / "losses.sqlite", limit_bytes=65535)
    LossStore(tmp_path / "losses.sqlite", limit_bytes=65536).close()


def hammer(path: Path, seed: int, rounds: int, failures) -> None:
    """Put and get at random; every sum must be right, and what was put must stay."""
    rng = random.Random(seed)
    try:
        with LossStore(path, on_damage=failures.put) as store:
            for _ in range(rounds):
                context = rng.choice(CONTEXTS)
                patterns = [tuple(rng.choices((0, 1), k=8)) for _ in range(rng.randrange(1, 20))]
                windows = rng.sample(WINDOWS, rng.randrange(1, 6))
                store.put(context, patterns, windows, the_sums(context, patterns, windows))
                sums = store.get(context, patterns, windows)
                if not (sums == the_sums(context, patterns, windows)).all():
                    failures.put(f"seed {seed} read {sums}")
    except BaseException as error:
        failures.put(f"seed {seed} raised {error!r}")
        raise


def in_processes(work: Callable[..., None], n: int, *arguments: object) -> list[str]:
    """Run `work(*arguments, failures)` with a seed each in spawned processes."""
    context = multiprocessing.get_context("spawn")
    failures = context.Queue()
    path, *rest = arguments
    workers = [
        context.Process(target=work, args=(path, seed, *rest, failures)) for seed in range(n)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * n
    said = []
    while not failures.empty():
        said.append(failures.get())
    return said


def test_several_processes_read_and_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "losses.sqlite"
    assert in_processes(hammer, 4, path, 60) == []
    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()


def prune_and_hammer(path: Path, seed: int, failures) -> None:
    """Put and get at random where other processes remove rows all the time."""
    rng = random.Random(seed)
    with LossStore(path, limit_bytes=1 << 16, on_damage=failures.put) as store:
        for _ in range(25):
            context = rng.choice(CONTEXTS)
            patterns = [tuple(rng.choices((0, 1), k=12)) for _ in range(100)]
            store.put(context, patterns, WINDOWS, the_sums(context, patterns, WINDOWS))
            sums = store.get(context, patterns, WINDOWS)
            if (~np.isnan(sums) & (sums != the_sums(context, patterns, WINDOWS))).any():
                failures.put(f"seed {seed} read {sums}")
            if store.damaged_rows:
                failures.put(f"seed {seed} saw {store.damaged_rows} damaged rows")


def test_pruning_by_one_process_never_gives_another_a_wrong_sum(tmp_path: Path) -> None:
    path = tmp_path / "losses.sqlite"
    assert in_processes(prune_and_hammer, 3, path) == []
    assert path.stat().st_size <= 1 << 16


def test_several_processes_that_meet_a_damaged_file_set_it_aside_once(tmp_path: Path) -> None:
    path = damaged_copy(b"garbage" * 3000, str(tmp_path))
    said = in_processes(hammer, 4, path, 10)
    assert len(said) == 1
    assert "is damaged" in said[0]
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


WRITER = """
import sys
from pathlib import Path
from evop_deap.fitness.store import LossStore
sys.path.insert(0, sys.argv[2])
from test_store import the_sums
windows = [f"w{i}" for i in range(5)]
with LossStore(Path(sys.argv[1])) as store:
    for start in range(0, 1 << 20, 256):
        patterns = [tuple(map(int, f"{i:020b}")) for i in range(start, start + 256)]
        store.put("one", patterns, windows, the_sums("one", patterns, windows))
        print(start + 256, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_writer_loses_at_most_what_it_had_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "losses.sqlite"
    finished = 0
    for delay in (0.0, 0.004, 0.009):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, Path(__file__).parent],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        for _ in range(3):
            writer.stdout.readline()
        time.sleep(delay)
        writer.kill()
        rest = writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
        finished = max(finished, 768, *map(int, rest))
        said: list[str] = []
        with LossStore(path, on_damage=said.append) as store:
            patterns = [tuple(map(int, f"{i:020b}")) for i in range(finished)]
            assert (store.get("one", patterns, WINDOWS) == the_sums("one", patterns, WINDOWS)).all()
        assert said == []


def test_a_copied_file_serves_another_place(tmp_path: Path, sound_file: Path) -> None:
    path = damaged_copy(sound_file.read_bytes(), str(tmp_path))
    shutil.copy(path, tmp_path / "copy.sqlite")
    with LossStore(tmp_path / "copy.sqlite") as store:
        assert all_right_or_unknown(store) == EVERYTHING


class Recorded:
    """An evaluator that knows the true sums and writes down what it was asked."""

    def __init__(self, nan_at: tuple[Pattern, int] | None = None) -> None:
        self.asked: list[tuple[list[Pattern], list[int] | None]] = []
        self.nan_at = nan_at

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        self.asked.append((list(patterns), None if windows is None else list(windows)))
        chosen = list(range(5)) if windows is None else list(windows)
        sums = the_sums("one", patterns, [WINDOWS[i] for i in chosen])
        if self.nan_at is not None:
            pattern, window = self.nan_at
            if pattern in patterns and window in chosen:
                sums[list(patterns).index(pattern), chosen.index(window)] = np.nan
        costs = np.full(len(patterns), len(chosen) / 5)
        return Evaluation(sums, np.array(chosen) + 10, costs)


def stored(store: LossStore, evaluator: Recorded) -> StoredEvaluator:
    tokens = np.arange(10, 15)
    return StoredEvaluator(evaluator, store, context="one", windows=WINDOWS, tokens=tokens)


def test_what_another_process_paid_for_is_not_paid_for_again(tmp_path: Path) -> None:
    path = tmp_path / "losses.sqlite"
    with LossStore(path) as store:
        first = stored(store, Recorded()).evaluate(PATTERNS)
    with LossStore(path) as store:
        evaluator = Recorded()
        second = stored(store, evaluator).evaluate(PATTERNS[::-1])
    assert evaluator.asked == []
    assert second.sums[::-1].tobytes() == first.sums.tobytes()
    assert (first.hits, first.cost) == (0, len(PATTERNS))
    assert (second.hits, second.cost) == (len(PATTERNS), 0.0)
    assert second.tokens.tolist() == first.tokens.tolist() == [10, 11, 12, 13, 14]


def test_only_the_windows_that_are_missing_are_evaluated(tmp_path: Path) -> None:
    evaluator = Recorded()
    with LossStore(tmp_path / "losses.sqlite") as store:
        both = stored(store, evaluator)
        a, b, c = PATTERNS[1:4]
        assert both.evaluate([a, b], windows=[0, 1]).tokens.tolist() == [10, 11]
        whole = both.evaluate([a, c, b, a])
        assert evaluator.asked == [([a, b], [0, 1]), ([a, b], [2, 3, 4]), ([c], None)]
        assert whole.costs.tolist() == [0.6, 1.0, 0.6, 0.0]
        assert whole.hits == 1
        assert (whole.sums == the_sums("one", [a, c, b, a], WINDOWS)).all()
        part = both.evaluate([c, b], windows=[4, 0])
        assert (part.sums == the_sums("one", [c, b], ["w4", "w0"])).all()
        assert part.tokens.tolist() == [14, 10]
        assert part.hits == 2
        nothing = both.evaluate([])
        assert nothing.sums.shape == (0, 5)
        assert both.evaluate([c], windows=[]).sums.shape == (1, 0)
        assert len(evaluator.asked) == 3


def test_a_window_that_could_not_be_judged_is_judged_again(tmp_path: Path) -> None:
    pattern = PATTERNS[2]
    evaluator = Recorded(nan_at=(pattern, 3))
    with LossStore(tmp_path / "losses.sqlite") as store:
        failed = stored(store, evaluator).evaluate([pattern])
        assert failed.losses.tolist() == [math.inf]
        evaluator.nan_at = None
        again = stored(store, evaluator).evaluate([pattern])
    assert evaluator.asked == [([pattern], None), ([pattern], [3])]
    assert (again.sums == the_sums("one", [pattern], WINDOWS)).all()


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(PATTERNS), max_size=6),
            st.none() | st.lists(st.sampled_from(range(5)), unique=True),
        ),
        max_size=8,
    )
)
def test_stored_and_fresh_evaluations_are_the_same_and_nothing_is_paid_twice(calls) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "losses.sqlite"
        evaluator = Recorded()
        for patterns, windows in calls:
            with LossStore(path) as store:
                found = stored(store, evaluator).evaluate(patterns, windows)
            fresh = Recorded().evaluate(patterns, windows)
            assert found.sums.tobytes() == fresh.sums.tobytes()
            assert found.tokens.tolist() == fresh.tokens.tolist()
        paid = [(p, w) for ps, ws in evaluator.asked for p in ps for w in (ws or range(5))]
        assert len(paid) == len(set(paid))


def test_tokens_must_be_one_number_a_window(tmp_path: Path) -> None:
    with LossStore(tmp_path / "losses.sqlite") as store, pytest.raises(InputError, match="tokens"):
        StoredEvaluator(Recorded(), store, context="", windows=WINDOWS, tokens=np.arange(4))


@pytest.mark.parametrize("version", [3, 255])
def test_a_file_of_an_unknown_version_is_set_aside_and_carried_over(
    tmp_path: Path, sound_file: Path, version: int
) -> None:
    content = bytearray(sound_file.read_bytes())
    content[18] = version
    path = damaged_copy(bytes(content), str(tmp_path))
    said: list[str] = []
    with LossStore(path, on_damage=said.append) as store:
        assert store.persistent
        assert all_right_or_unknown(store) == EVERYTHING
    assert len(said) == 1
    assert "is damaged" in said[0]
