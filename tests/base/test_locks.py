"""What a folder holds tells every process that it is taken; what killed ones left goes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from forked_searches import run_and_kill

import evop_deap.apply
import evop_deap.calibrate
import evop_deap.export
import evop_deap.heal
import evop_deap.report
import evop_deap.search
from evop_deap.base.errors import InputError, OutputError
from evop_deap.base.files import claimed, new_folder, write_text
from evop_deap.base.locks import hold
from evop_deap.runs.heal.heal_folder import HealFolder
from evop_deap.runs.storage.folder import RunFolder

Lock = Callable[[Path], AbstractContextManager[None]]
LOCKS: dict[str, Lock] = {
    "search": lambda path: RunFolder(path).exclusive(),
    "heal": lambda path: HealFolder(path).exclusive(),
    "apply": claimed,
}


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def hidden(folder: Path) -> list[str]:
    return [name for name in tree(folder) if any(p.startswith(".") for p in Path(name).parts)]


def _hold_until_told(kind: str, path: Path, cache: str, pipe: Any) -> None:
    os.environ["EVOP_CACHE"] = cache
    with LOCKS[kind](path):
        pipe.send("held")
        pipe.recv()


@contextmanager
def another_process(kind: str, path: Path, cache: Path) -> Iterator[Any]:
    """A process with a cache of its own that holds the lock."""
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe()
    child = context.Process(target=_hold_until_told, args=(kind, path, str(cache), its))
    child.start()
    assert mine.recv() == "held"
    yield child
    if child.is_alive():
        mine.send("end")
    child.join(30)


@pytest.mark.parametrize("kind", LOCKS)
def test_processes_with_other_caches_meet_at_the_same_lock(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "new" / "out"
    with (
        another_process(kind, path, tmp_path / "cache"),
        pytest.raises(InputError, match="is being written by another process"),
        LOCKS[kind](path),
    ):
        pass
    with LOCKS[kind](path):
        assert hidden(tmp_path)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("kind", LOCKS)
def test_the_lock_of_a_killed_process_is_free_and_goes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    with another_process(kind, path, tmp_path / "cache") as child:
        os.kill(child.pid, signal.SIGKILL)
    (left,) = hidden(tmp_path)
    RunFolder(path).check_usable(resume=False, overwrite=False)
    HealFolder(path).check_usable(resume=False, overwrite=False)
    with LOCKS[kind](path):
        assert hidden(tmp_path) == [left]
    assert not (tmp_path / left).exists()


def test_a_folder_by_another_name_is_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    with (
        claimed(tmp_path / "out"),
        pytest.raises(InputError, match="written by another process"),
        claimed_elsewhere(tmp_path / "link"),
    ):
        pass


def claimed_elsewhere(path: Path) -> AbstractContextManager[None]:
    """A claim of another thread, which is to a lock as another process is."""
    found: list[BaseException] = []

    @contextmanager
    def held() -> Iterator[None]:
        def claim() -> None:
            try:
                with claimed(path):
                    pass
            except InputError as error:
                found.append(error)

        thread = threading.Thread(target=claim)
        thread.start()
        thread.join()
        if found:
            raise found[0]
        yield

    return held()


def test_a_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk/model")
    for content in ("old", "new"):
        with new_folder(tmp_path / "out") as folder:
            (folder / content).touch()
    assert tree(tmp_path) == ["disk", "disk/model", "disk/model/new", "out"]
    assert (tmp_path / "out").is_symlink()


def test_what_is_refused_leaves_no_lock_and_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = str(tmp_path / "a" / "b")
    for main, more in (
        (evop_deap.search.main, ["--model", "./nowhere", "--sparsity", "0.4"]),
        (evop_deap.apply.main, ["--model", "./nowhere", "--pattern", "1"]),
        (evop_deap.calibrate.main, ["--model", "./nowhere"]),
        (evop_deap.heal.main, ["./nowhere"]),
    ):
        assert main([*more, "--output", new, "--quiet"]) == 2
        assert tree(tmp_path) == []
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4


def test_a_lock_that_cannot_be_written_names_the_output(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for lock in LOCKS.values():
        with pytest.raises(OutputError, match="cannot write .*file"), lock(tmp_path / "file" / "x"):
            pass


@pytest.fixture
def corpus(run_settings: dict[str, Any]) -> str:
    return str(run_settings["corpus"])


LEFT = "0123abcd.part"


def leave(place: Path, name: str) -> None:
    """What a killed process leaves of a folder and of a file."""
    place.mkdir(parents=True, exist_ok=True)
    (place / f".{name}.{LEFT}").mkdir()
    (place / f".{name}.{LEFT}" / "weights").write_text("half")
    (place / f".{name}.89abcdef.part").write_text("half")
    (place / f".{name}.lock").touch()


def test_what_a_killed_command_left_goes_with_the_next_run_into_the_same_place(
    toy_checkpoint: Path, finished_run: Path, corpus: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    model, text = ["--model", str(toy_checkpoint)], ["--corpus", corpus]
    small = ["--window", "16", "--tokens", "64", "--heldout-tokens", "64"]
    sets = [*small, "--calibration", "random", *text]
    for main, arguments in (
        (evop_deap.apply.main, [*model, "--pattern", "1"]),
        (evop_deap.export.main, [str(finished_run)]),
        (evop_deap.calibrate.main, [*model, *sets]),
    ):
        leave(tmp_path, "out")
        assert main([*arguments, "--output", str(out), "--quiet"]) == 0
        assert hidden(tmp_path) == []
        shutil.rmtree(out)
    page = tmp_path / "page.html"
    for main, arguments in (
        (evop_deap.report.main, [str(finished_run), "--output", str(page)]),
        (evop_deap.export.main, [str(finished_run), "--format", "mergekit", "--overwrite",
                                 "--output", str(page)]),
    ):  # fmt: skip
        page.with_name(f".page.html.{LEFT}").write_text("half")
        assert main(arguments) == 0
        assert hidden(tmp_path) == []


def test_what_a_killed_search_left_goes_even_when_the_run_is_finished(
    finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    for place, name in ((run, "model"), (run, "report.html"), (run / "model", "README.md")):
        (place / f".{name}.{LEFT}").write_text("half")
    (run / ".lock").touch()
    assert evop_deap.search.main(["--resume", "--output", str(run), "--quiet"]) == 0
    assert hidden(run) == []
    assert tree(run) == tree(finished_run)


def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with path.with_name(f".page.html.{LEFT}").open("wb") as file:
        assert hold(file)
        write_text(path, "whole")
        assert tree(tmp_path) == [f".page.html.{LEFT}", "page.html"]
    write_text(path, "again")
    assert tree(tmp_path) == ["page.html"]


@pytest.mark.slow
def test_an_apply_killed_while_it_writes_leaves_nothing_after_the_next(
    toy_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ["--model", str(toy_checkpoint), "--pattern", "1", "--output"]
    arguments.append(str(tmp_path / "out"))
    code = run_and_kill(arguments, lambda: any(tmp_path.glob(".out.*.part/*")), command="apply")
    assert code == -signal.SIGKILL
    assert len(hidden(tmp_path)) > 1
    assert evop_deap.apply.main([*arguments, "--quiet"]) == 0
    assert hidden(tmp_path) == []
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_hidden_layers"] == 4
