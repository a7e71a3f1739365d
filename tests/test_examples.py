"""Every example in the docstrings and in README.md runs."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
from pathlib import Path

import pytest

import evop_deap

MODULES = sorted(m.name for m in pkgutil.walk_packages(evop_deap.__path__, "evop_deap."))
README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_docstrings_give_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(python_blocks())))
def test_the_python_of_the_readme_runs(
    number: int, toy_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A toy stands in for the demo model: the examples are about the calls.
    code = python_blocks()[number].replace('"demo"', repr(str(toy_checkpoint)), 1)
    code = code.replace("window=256, tokens=2048", "window=16, tokens=64, heldout_tokens=64")
    (tmp_path / "benchmarks").symlink_to(README.parent / "benchmarks")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"README.md, example {number}", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize(
    ("command", "count"),
    [
        ("apply", 1),
        ("evaluate", 1),
        ("export", 2),
        ("inspect", 1),
        ("report", 1),
        ("search", 2),
        ("tune", 1),
    ],
)
def test_every_flag_in_the_readme_exists(
    command: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"evop_deap.{command}")
    with pytest.raises(SystemExit):
        module.main(["--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    text = README.read_text(encoding="utf-8")
    commands = re.findall(rf"python -m evop_deap\.{command}(?:[^\n`]|\\\n)*", text)
    assert len(commands) >= count
    used = {flag for command in commands for flag in re.findall(r"--[a-z][a-z-]+", command)}
    assert used <= known


def test_all_names_of_the_front_can_be_imported() -> None:
    assert [name for name in evop_deap.__all__ if getattr(evop_deap, name) is None] == []
    assert set(evop_deap.__all__) <= set(dir(evop_deap))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        evop_deap.nothing  # noqa: B018


def test_nothing_of_this_repository_but_what_belongs_there_stands_at_its_top() -> None:
    allowed = {"setup.cfg", "setup.py", "evop_deap", "benchmarks", "tests", "README.md"}
    allowed |= {"LICENSE", "CHANGELOG.md", "constraints.txt", "build", "dist", "runs"}
    found = {name for name in os.listdir(README.parent) if not name.startswith(".")}  # noqa: PTH208
    assert {name for name in found if not name.endswith(".egg-info")} <= allowed
