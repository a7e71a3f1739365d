from __future__ import annotations

import json
from pathlib import Path

import pytest

from evop_deap.base.errors import InputError, OutputError
from evop_deap.base.files import new_folder, remove_leftovers, write_json, write_text
from evop_deap.runs.storage.folder import RunFolder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_text_replaces_another_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "one")
    write_text(path, "zwei\n")
    assert path.read_text() == "zwei\n"
    assert names(path.parent) == ["file.txt"]


def test_what_json_cannot_say_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    with new_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("1")
        assert not (tmp_path / "model").exists()
    assert names(tmp_path) == ["model"]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    with new_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("old")

    def fail() -> None:
        with new_folder(tmp_path / "model") as folder:
            (folder / "weights").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(tmp_path) == ["model"]
    assert (tmp_path / "model" / "weights").read_text() == "old"


def test_a_new_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with new_folder(tmp_path / "model") as folder:
            (folder / content).write_text(content)
    assert names(tmp_path / "model") == ["new"]
    assert names(tmp_path) == ["model"]


def test_a_new_folder_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "made").write_text("a list")
    with new_folder(tmp_path / "made") as folder:
        (folder / "one").write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert (tmp_path / "made/one").read_text() == "1"


def test_leftovers_of_a_killed_process_go_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".model.1234abcd.part").mkdir()
    (tmp_path / ".model.1234abcd.part" / "weights").touch()
    (tmp_path / ".result.json.99999999.part").touch()
    (tmp_path / "result.json").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / ".cache.part").mkdir()
    (tmp_path / ".thesis.tex.0123abcd.part").touch()
    remove_leftovers(tmp_path, ["model", "result.json"])
    assert names(tmp_path) == [".cache.part", ".hidden", ".thesis.tex.0123abcd.part", "result.json"]


def test_a_place_below_a_file_cannot_be_written_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write .*file"):
        write_text(tmp_path / "file" / "below.txt", "")
    with pytest.raises(OutputError, match="cannot write .*file"):
        RunFolder(tmp_path / "file" / "run").check_usable(resume=False, overwrite=False)


def test_where_there_is_no_run_there_is_nothing_to_clear(tmp_path) -> None:
    RunFolder(tmp_path / "new").clear()
    assert not (tmp_path / "new").exists()


def test_an_existing_run_is_refused_unless_resumed_or_overwritten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.check_usable(resume=False, overwrite=False)
    folder.config.write_text("model: demo\nsparsity: 0.2")
    with pytest.raises(InputError, match=r"already holds config.yaml.*--resume or --overwrite"):
        folder.check_usable(resume=False, overwrite=False)
    folder.check_usable(resume=True, overwrite=False)
    folder.check_usable(resume=False, overwrite=True)
    with pytest.raises(InputError, match="exclude each other"):
        folder.check_usable(resume=True, overwrite=True)
    assert names(tmp_path) == ["config.yaml"]


@pytest.mark.parametrize("flag", ["resume", "overwrite"])
@pytest.mark.parametrize("settings", [None, "learning_rate: 1", "model: demo", ": ["])
def test_a_folder_that_is_no_run_is_left_alone(
    tmp_path: Path, flag: str, settings: str | None
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").touch()
    if settings is not None:
        (tmp_path / "config.yaml").write_text(settings)
    flags = {"resume": False, "overwrite": False, flag: True}
    with pytest.raises(InputError, match="is not the folder of a run"):
        RunFolder(tmp_path).check_usable(**flags)


def test_a_run_killed_while_its_settings_were_written_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / ".config.yaml.0123abcd.part").touch()
    RunFolder(tmp_path).check_usable(resume=True, overwrite=False)


def test_two_searches_cannot_write_into_one_folder(tmp_path: Path) -> None:
    same = RunFolder(tmp_path / ".." / tmp_path.name)
    with (
        RunFolder(tmp_path).exclusive(),
        RunFolder(tmp_path / "other").exclusive(),
        pytest.raises(InputError, match="is being written by another process"),
    ):
        same.exclusive().__enter__()
    with RunFolder(tmp_path).exclusive():
        pass


def test_clearing_a_run_spares_what_is_not_its_own(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.model.mkdir()
    for path in (folder.config, folder.result, folder.history, tmp_path / "notes.txt"):
        path.touch()
    folder.clear()
    assert names(tmp_path) == ["notes.txt"]


def test_history_written_after_the_checkpoint_is_cut(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for generation in range(4):
        folder.append_history({"gen": generation})
    with folder.history.open("a") as file:
        file.write('{"gen": 4, "mi')
    folder.cut_history(2)
    rows = [json.loads(line) for line in folder.history.read_text().splitlines()]
    assert [row["gen"] for row in rows] == [0, 1, 2]
