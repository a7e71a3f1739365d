"""The floor plan: a room for every file, names that are used once, imports that go one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

import evop_deap

PACKAGE = Path(evop_deap.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py"))
COMMANDS = (
    "apply", "cache", "calibrate", "evaluate", "export", "heal", "inspect", "report",
    "search", "tune",
)  # fmt: skip


def twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def test_what_a_user_runs_stands_at_the_top_and_nothing_else() -> None:
    found = {path.name for path in PACKAGE.glob("*.py")}
    assert found == {"__init__.py", *(f"{command}.py" for command in COMMANDS)}


def test_no_two_files_share_a_name() -> None:
    assert twice(path.name for path in FILES if path.name != "__init__.py") == []


def test_no_two_classes_share_a_name() -> None:
    nodes = (node for path in FILES for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    assert twice(node.name for node in nodes if isinstance(node, ast.ClassDef)) == []


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in FILES}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {
        str(path.relative_to(PACKAGE)): path.read_text("utf-8").count("\n") for path in FILES
    }
    assert {path: length for path, length in lengths.items() if length > 300} == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_40_to_120_lines(command: str) -> None:
    lines = (PACKAGE / f"{command}.py").read_text("utf-8").count("\n")
    assert 40 <= lines <= 120


def test_names_say_what_a_file_holds() -> None:
    hiding = {
        "handover", "subject", "judge", "last_look", "beside", "filling", "room", "growing",
        "opening", "picks_of_halves",
    }  # fmt: skip
    assert hiding & {path.stem for path in FILES} == set()


def test_the_search_and_its_tables_import_without_torch() -> None:
    rooms = ("base", "space", "evolution", "surrogate", "fitness")
    modules = [
        ".".join(("evop_deap", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in FILES
        if path.relative_to(PACKAGE).parts[0] in rooms and path.parent != PACKAGE / "fitness/model"
    ]
    code = (
        "import sys, importlib\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        f"for module in {modules}: importlib.import_module(module)"
    )
    assert len(modules) > 40
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str) -> None:
    code = (
        f"import sys; from evop_deap.{command} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'deap', 'numpy', 'optuna', 'yaml'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"python -m evop_deap.{command}" in done.stdout


def test_imports_go_one_way() -> None:
    pytest.importorskip("importlinter")
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()",
         "--no-cache"],
        cwd=PACKAGE.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
