"""A file is made by one process at a time, and by none once it is there."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from benchmarks.common.exclusive_files import claimed
from evop_deap.base.errors import OutputError


def test_a_file_is_claimed_once_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "run.json"
    with claimed(path) as mine:
        assert mine
        with claimed(path) as again, claimed(path.with_name("other.json")) as other:
            assert not again
            assert other
    with claimed(path) as mine:  # it was not made
        assert mine
        path.write_text("{}")
    with claimed(path) as mine:
        assert not mine
    assert list(path.parent.iterdir()) == [path]


def test_a_claim_ends_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), claimed(tmp_path / "run.json"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_had_claimed_is_free_and_its_leftovers_go(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    child = multiprocessing.get_context("spawn").Process(target=claim_and_die, args=(path,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    left = tmp_path / ".run.json.0123abcd.part"
    assert left.exists()
    with claimed(path) as mine:
        assert mine
    assert list(tmp_path.iterdir()) == []


def claim_and_die(path: Path) -> None:
    with claimed(path):
        path.with_name(f".{path.name}.0123abcd.part").write_text("{")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"), claimed(tmp_path / "file" / "run.json"):
        raise AssertionError
