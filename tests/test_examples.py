"""Every example in the docstrings and in the package's README files runs, and links lead on."""

from __future__ import annotations

import doctest
import importlib
import io
import os
import pkgutil
import re
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest

import evop_deap
from benchmarks.board.claims import ONCE
from benchmarks.board.making.run_files import read_runs
from benchmarks.board.models import runs_by_model
from benchmarks.board.tables.board_tables import cells_in
from benchmarks.board.tables.models_tables import summary_table
from benchmarks.board.tables.ratios import mean_ratio, perplexity
from evop_deap.settings.heuristic_names import SEARCH

MODULES = sorted(m.name for m in pkgutil.walk_packages(evop_deap.__path__, "evop_deap."))
ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
ROOMS = sorted((ROOT / "evop_deap").rglob("README.md"))

COMMANDS = {  # with the least number of times that the README files show each
    "apply": 1,
    "cache": 2,
    "calibrate": 1,
    "evaluate": 1,
    "export": 2,
    "heal": 2,
    "inspect": 1,
    "report": 1,
    "search": 2,
    "tune": 1,
}
FLAGS_OF_OTHER_TOOLS = {"--prune-layers"}  # llama-quantize's


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_docstrings_give_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0


def name_of(readme: Path) -> str:
    return readme.relative_to(ROOT).as_posix()


def python_blocks() -> dict[str, str]:
    """The Python examples of all README files, by their file and number."""
    return {
        f"{name_of(readme)}, example {number}": code
        for readme in (README, *ROOMS)
        for number, code in enumerate(
            re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
        )
    }


@pytest.mark.parametrize("example", python_blocks())
def test_the_python_of_the_readmes_runs(
    example: str, toy_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A toy stands in for the demo model: the examples are about the calls.
    code = python_blocks()[example].replace('"demo"', repr(str(toy_checkpoint)), 1)
    code = code.replace("window=256, tokens=2048", "window=16, tokens=64, heldout_tokens=64")
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, example, "exec"), {"__name__": "__main__"})


@cache
def help_of(command: str) -> str:
    """What `--help` prints, of its subcommands too."""
    module = importlib.import_module(f"evop_deap.{command}")
    printed = io.StringIO()
    for arguments in ([], ["clear"]) if command == "cache" else ([],):
        with redirect_stdout(printed), pytest.raises(SystemExit):
            module.main([*arguments, "--help"])
    return printed.getvalue()


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


@pytest.mark.parametrize(("command", "count"), COMMANDS.items())
def test_every_flag_of_a_command_in_the_readmes_exists(command: str, count: int) -> None:
    text = "\n".join(readme.read_text(encoding="utf-8") for readme in (README, *ROOMS))
    commands = re.findall(rf"python -m evop_deap\.{command}\b(?:[^\n`)]|\\\n)*", text)
    assert len(commands) >= count
    assert set().union(*map(flags_in, commands)) <= flags_in(help_of(command))


@pytest.mark.parametrize("readme", [README, *ROOMS], ids=name_of)
def test_every_flag_that_a_readme_speaks_of_exists(readme: Path) -> None:
    known = set().union(*(flags_in(help_of(command)) for command in COMMANDS))
    assert flags_in(readme.read_text(encoding="utf-8")) <= known | FLAGS_OF_OTHER_TOOLS


def test_every_command_of_the_package_is_in_the_readme() -> None:
    commands = {path.stem for path in (ROOT / "evop_deap").glob("*.py")} - {"__init__"}
    assert commands == set(COMMANDS)
    assert all(f"| `{command}` |" in README.read_text(encoding="utf-8") for command in commands)


def test_the_readmes_are_short_enough_to_be_read() -> None:
    assert README.stat().st_size <= 14 * 1024
    assert [name_of(room) for room in ROOMS if room.stat().st_size > 8 * 1024] == []
    rooms = {readme.parent.relative_to(ROOT / "evop_deap").as_posix() for readme in ROOMS}
    assert {
        ".", "calibration", "evaluation", "evolution", "fitness", "heuristics", "models",
        "models/formats", "reporting", "runs", "space", "tuning",
    } <= rooms  # fmt: skip


@pytest.mark.parametrize("readme", [README, *ROOMS], ids=name_of)
def test_the_links_of_the_readmes_lead_somewhere(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    links = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'src="([^"]+)"', text)]
    ours = [link for link in links if not link.startswith("https://")]
    assert [link for link in ours if not leads_somewhere(link, readme)] == []


def leads_somewhere(link: str, readme: Path) -> bool:
    path, _, anchor = link.partition("#")
    target = readme.parent / path if path else readme
    return target.exists() and (not anchor or anchor in anchors_of(target))


def anchors_of(readme: Path) -> set[str]:
    """What a link can name in a file: its headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)$", readme.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("source", [*COMMANDS, *map(name_of, (README, *ROOMS))])
def test_words_that_the_glossary_replaces_stand_in_no_help_and_no_readme(source: str) -> None:
    text = help_of(source) if source in COMMANDS else (ROOT / source).read_text(encoding="utf-8")
    text = re.sub(r"`[^`]*`", "", text)  # names of keys and flags stay what they are
    assert re.findall(r"\w*judg\w*|boldness|last look|finalists?|contenders?", text, re.I) == []


def test_the_results_in_the_readme_are_those_of_the_board() -> None:
    text = README.read_text(encoding="utf-8")
    board = (ROOT / "benchmarks/board/README.md").read_text(encoding="utf-8")
    kept = [ROOT / "benchmarks/board/results" / name for name in ("models", "models.halves")]
    table = summary_table(list(map(runs_by_model, kept)))
    assert table in text
    interval = r"\d\.\d+ \(\d\.\d+ to \d\.\d+\)"
    assert set(re.findall(interval, text)) <= set(re.findall(interval, board + table))
    cells = cells_in(read_runs(ROOT / "benchmarks/board/results/demo"))

    def below(name: str, *units: str) -> str:
        pairs = [(m[SEARCH], m[name]) for (unit, _), m in cells.items() if unit in units]
        return f"{100 * (1 - mean_ratio([pairs]).value):.0f} %"

    assert f"{below('evopress', 'block')} below EvoPress's procedure in perplexity" in text
    assert f"{below('evopress', 'half')} on halves" in text
    assert f"{below('sleb', 'block', 'half')} below greedy removal" in text
    times = [
        (share, perplexity(m[name]) / perplexity(m[SEARCH]))
        for (_, share), m in cells.items()
        for name in ONCE
        if name in m
    ]
    few = [100 * (one - 1) for share, one in times if share < 0.3]
    many = [one for share, one in times if share > 0.3]
    assert f"up to {max(few):.0f} % more at 10 and 20 %" in text
    assert f"{min(many):.1f} to {max(many):.1f} times as much at 33 %" in text


def test_all_names_of_the_front_can_be_imported() -> None:
    assert [name for name in evop_deap.__all__ if getattr(evop_deap, name) is None] == []
    assert set(evop_deap.__all__) <= set(dir(evop_deap))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        evop_deap.nothing  # noqa: B018


def test_nothing_of_this_repository_but_what_belongs_there_stands_at_its_top() -> None:
    allowed = {"setup.cfg", "setup.py", "evop_deap", "benchmarks", "tests", "README.md"}
    allowed |= {"LICENSE", "CHANGELOG.md", "constraints.txt", "build", "dist", "runs"}
    found = {name for name in os.listdir(ROOT) if not name.startswith(".")}  # noqa: PTH208
    assert {name for name in found if not name.endswith(".egg-info")} <= allowed
