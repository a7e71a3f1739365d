"""The command that shows and clears the stored losses."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toy_models import shared_toy

from evop_deap.base.kept_answers import KeptAnswer, KeptAnswers
from evop_deap.cache import main
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.shared_losses import HeldBackStore, sharing_evaluator
from evop_deap.fitness.store import LossStore
from evop_deap.models.anatomy.find_anatomy import find_anatomy


@pytest.fixture
def store_file(tmp_path: Path) -> Path:
    """A store of two contexts in the default place."""
    path = tmp_path / "cache" / "losses.sqlite"
    with LossStore(path) as store:
        store.put("aa llama float32", [(1, 0), (0, 1)], ["w0", "w1", "w2"], [[1, 2, 3], [4, 5, 6]])
        store.put("ab gemma bfloat16", [(1, 1)], ["w0"], [[7.5]])
    return path


@pytest.fixture(autouse=True)
def cache_in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path / "cache"))


def contexts(path: Path) -> list[str]:
    with LossStore(path) as store:
        return sorted(summary.context for summary in store.summary())


def test_info_shows_each_context_and_the_file(
    store_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["last", "used", "patterns", "windows", "sums", "size", "context"]
    day = time.strftime("%Y-%m-%d", time.localtime(store_file.stat().st_mtime))
    rows = {line.split("  ")[-1]: line.split() for line in lines[1:3]}
    assert rows["aa llama float32"][0] == day
    assert rows["aa llama float32"][2:5] == ["2", "3", "6"]
    assert rows["ab gemma bfloat16"][2:5] == ["1", "1", "1"]
    assert lines[-1].startswith(f"{store_file}: 7 window sums, ")


def test_clear_removes_everything_and_says_how_much(
    store_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aside = store_file.with_name("losses.sqlite.damaged-1")
    aside.write_bytes(b"x" * 3_000_000)
    assert main(["--path", str(store_file), "clear"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{store_file}: removed 7 window sums, 2.9 MiB")
    assert contexts(store_file) == []
    assert not aside.exists()


@pytest.mark.parametrize(
    ("prefix", "left", "sums"),
    [
        ("aa", ["ab gemma bfloat16"], 6),
        ("ab gemma bfloat16", ["aa llama float32"], 1),
        ("a", [], 7),
    ],
)
def test_clear_with_a_context_removes_those_that_begin_so(
    store_file: Path, capsys: pytest.CaptureFixture[str], prefix: str, left: list[str], sums: int
) -> None:
    assert main(["clear", "--context", prefix]) == 0
    assert f"removed {sums} window sums" in capsys.readouterr().out
    assert contexts(store_file) == left


def test_the_example_of_a_context_begins_one_as_searches_name_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = shared_toy("gpt2")
    anatomy = find_anatomy(model)
    windows = np.arange(32).reshape(2, 16) % 50
    path = tmp_path / "cache" / "losses.sqlite"
    guide = Path(__file__).parents[2] / "evop_deap" / "fitness" / "README.md"
    with pytest.raises(SystemExit):
        main(["--help"])
    for text in (capsys.readouterr().out, guide.read_text("utf-8")):
        (prefix,) = set(re.findall(r"cache clear --context (\S+)", text))
        with LossStore(path) as store:
            held = HeldBackStore(store)
            working = PopulationEvaluator(model, anatomy, windows)
            sharing_evaluator(
                working, held, model=model, name="gpt2", fingerprint="f" * 64, tokens=windows
            ).evaluate([(1,) * len(anatomy.parts)])
            held.release()
        assert main(["clear", "--context", "f" * 4]) == 2
        assert "must begin a stored one, such as 'gpt2, float32, " in capsys.readouterr().err
        assert main(["clear", "--context", prefix]) == 0
        assert "removed 2 window sums" in capsys.readouterr().out
    assert main(["clear", "--context", "gpt2"]) == 2
    assert "must begin a stored one, and none is stored, but" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["info", "clear"])
def test_where_nothing_is_kept_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command]) == 0
    assert "nothing is kept" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_what_lies_beside_the_losses_is_told_and_cleared(
    store_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = store_file.parent
    KeptAnswers(cache / "rehearsals").keep({"removed": ["3"]}, KeptAnswer("removable"))
    KeptAnswers(cache / "embeddings" / "ab").keep({"text": "a"}, KeptAnswer([0.5]))
    mine = cache / "scores" / "match.npz"
    mine.parent.mkdir()
    mine.write_text("the user's own")
    kept = sorted(cache.rglob("*.npz"))
    assert main(["info"]) == 0
    told = [line.split(": ") for line in capsys.readouterr().out.splitlines()[:2]]
    assert [place for place, _ in told] == [str(cache / "embeddings"), str(cache / "rehearsals")]
    assert all(size.startswith("1 file, ") for _, size in told)
    for arguments in (["clear", "--context", "aa"], ["--path", str(store_file), "clear"]):
        assert main(arguments) == 0
        assert sorted(cache.rglob("*.npz")) == kept
    assert main(["clear"]) == 0
    assert "rehearsals: removed 1 file" in capsys.readouterr().out
    assert list(cache.rglob("*.npz")) == [mine]


def test_a_damaged_store_is_reported_and_can_be_cleared(
    store_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(store_file.read_bytes())
    content[100:200] = b"\xff" * 100
    store_file.write_bytes(content)
    assert main(["info"]) == 0
    captured = capsys.readouterr()
    assert "is damaged" in captured.err
    assert "losses.sqlite.damaged-1: damaged, " in captured.out
    assert main(["clear"]) == 0
    names = sorted(path.name for path in store_file.parent.iterdir())
    assert names == ["losses.sqlite", "losses.sqlite.lock"]


def test_files_that_are_no_store_are_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import sqlite3

    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = other.read_bytes()
    for path in (notes, other, tmp_path, notes / "below"):
        for command in ("info", "clear"):
            assert main(["--path", str(path), command]) == 2
            captured = capsys.readouterr()
            assert captured.out == ""
            assert len(captured.err.splitlines()) == 1
            assert str(path) in captured.err
    assert notes.read_text() == "mine"
    assert other.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "{info,clear}"),
        (["shrink"], "shrink"),
        (["info", "--context", "a"], "--context"),
        (["info", "--limit"], "--limit"),
    ],
)
def test_a_bad_command_line_is_one_line_and_exit_code_2(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert word in line


def test_a_prefix_of_no_context_is_one_line_and_exit_code_2(
    store_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clear", "--context", "zz"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "zz" in line
    assert len(contexts(store_file)) == 2


def test_help_needs_no_heavy_import() -> None:
    program = (
        "import sys, evop_deap.cache\n"
        "try: evop_deap.cache.main(['--help'])\n"
        "finally: print({'numpy', 'torch', 'sqlite3', 'platformdirs'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    assert "examples:" in done.stdout
    assert done.stdout.rstrip().endswith("set()")
