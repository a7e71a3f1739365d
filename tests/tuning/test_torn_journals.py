"""A study's journal whose last record is unfinished goes on; a foreign file is left as it was."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from small_disk import files_of_at_most
from toy_landscapes import write_toy_landscape

from evop_deap.base.errors import InputError, OutputError
from evop_deap.tune import main
from evop_deap.tuning.study_storage import open_storage

SETTINGS = ["--seeds", "1", "--max-cost", "3", "--seed", "0", "--quiet", "--no-pictures"]


@pytest.fixture(scope="module")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_landscape(tmp_path_factory.mktemp("landscape") / "toy.npz", drops=(2,))


@pytest.fixture(scope="module")
def journal(landscape: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The journal of a study of three trials."""
    output = tmp_path_factory.mktemp("study") / "out"
    assert tune(landscape, output, 3) == 0
    return (output / "study.jsonl").read_bytes()


def tune(landscape: Path, output: Path, n_trials: int) -> int:
    problem = ["--landscape", str(landscape), "--n-trials", str(n_trials)]
    return main([*problem, *SETTINGS, "--output", str(output)])


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_journal_cut_off_anywhere_goes_on_from_its_last_whole_record(
    journal: bytes, tmp_path: Path
) -> None:
    for place in (0, 1, 11, 12, *range(20, len(journal), len(journal) // 60), len(journal) - 1):
        path = tmp_path / f"{place}.jsonl"
        path.write_bytes(journal[:place])
        whole = journal[:place].count(b"\n")
        with open_storage(str(path)) as (storage, _):
            assert len(records(path)) == whole
            optuna.create_study(storage=storage, study_name="another")
        assert len(records(path)) > whole
        with open_storage(str(path)) as (storage, _):
            assert "another" in optuna.get_all_study_names(storage)


@pytest.mark.parametrize(
    "end",
    [b"\0" * 300, b'{"op_code":4,"wor', b'{"op_code":4\0\0', b'{"op_code":4,{"op_code":0}\n'],
)  # fmt: skip
def test_whatever_a_power_cut_left_at_the_end_is_dropped(
    landscape: Path, journal: bytes, tmp_path: Path, end: bytes
) -> None:
    path = tmp_path / "out" / "study.jsonl"
    path.parent.mkdir()
    path.write_bytes(journal + end)
    for n_trials in (4, 5):
        assert tune(landscape, path.parent, n_trials) == 0
    assert path.read_bytes().startswith(journal)
    assert records(path)
    trials = json.loads((path.parent / "trials.json").read_text())["trials"]
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * 5


def test_a_full_disk_ends_in_one_line_and_the_study_goes_on(
    landscape: Path, journal: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, size in enumerate((60, len(journal) // 3, len(journal) - 9)):
        output = tmp_path / str(number)
        with files_of_at_most(size):
            assert tune(landscape, output, 3) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1, said.err
        assert "cannot write" in said.err
        assert "File too large" in said.err
        assert tune(landscape, output, 3) == 0
        assert records(output / "study.jsonl")
        capsys.readouterr()


def test_a_torn_record_of_another_process_is_dropped_while_the_study_runs(
    journal: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "study.jsonl"
    path.write_bytes(journal)
    with open_storage(str(path)) as (storage, _):
        with path.open("ab") as file:
            file.write(b'{"op_code":4,"tri')
        optuna.create_study(storage=storage, study_name="another")
        assert "another" in optuna.get_all_study_names(storage)
    assert records(path)


@pytest.mark.parametrize(
    "content",
    [b"a thesis\n", b"a thesis", b'{"a": 1}\n', b'{"a": 1}', b"[" * 3000, b"[" * 200_000 + b"\n",
     b"9" * 5000 + b"\n", b"[1]\n", b'"op_code"\n', b'{"op_code": "x"}\n', b"\xff\xfe\n", b"\n",
     b'{"op_code":' + b"9" * 5000 + b"}\n", b"x" * 100_000],
)  # fmt: skip
def test_a_foreign_file_is_refused_in_one_line_and_nothing_is_left_beside_it(
    landscape: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    command = ["--landscape", str(landscape), *SETTINGS, "--output", str(tmp_path / "out")]
    assert main([*command, "--storage", str(path)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "is not a journal of Optuna's, or was damaged" in said
    assert len(said) < 800
    assert path.read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "line",
    [b"[" * 200_000, b"9" * 5000, b'{"op_code": 99}', b"[]", b"{}", b"\xff", b'{"op_code":4}'],
)  # fmt: skip
def test_a_journal_damaged_in_its_middle_is_refused_and_left_as_it_was(
    journal: bytes, tmp_path: Path, line: bytes
) -> None:
    path = tmp_path / "study.jsonl"
    first, _, rest = journal.partition(b"\n")
    path.write_bytes(first + b"\n" + line + b"\n" + rest)
    with (
        pytest.raises(InputError, match="is not a journal of Optuna's, or was damaged"),
        open_storage(str(path)),
    ):
        pass
    assert path.read_bytes() == first + b"\n" + line + b"\n" + rest
    assert [one.name for one in tmp_path.iterdir()] == ["study.jsonl"]


def test_a_database_that_fails_while_it_is_in_use_says_so_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "study.db"

    def fill() -> None:
        with open_storage(f"sqlite:///{path}") as (storage, _):
            study = optuna.create_study(storage=storage)
            with files_of_at_most(path.stat().st_size):
                study.set_user_attr("long", "x" * 200_000)

    with pytest.raises(OutputError, match=r"`storage` sqlite.*study\.db cannot be used: .*disk"):
        fill()


@pytest.mark.parametrize(
    "more",
    [["--seed", "-1"], ["--seed", "4294967296"], ["--seed", "9" * 18], ["--study-name", "a\udcff"]],
)
def test_an_option_that_no_study_can_have_is_refused_before_anything_is_written(
    landscape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    command = ["--landscape", str(landscape), *SETTINGS, "--output", str(tmp_path / "out"), *more]
    try:
        code = main(command)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
