"""The commands in the index of claims make the cells that are kept, and no others."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

import pytest

from benchmarks.board.claims_across import claims_across
from benchmarks.board.commands import luck_command
from benchmarks.board.fitness import board_of
from benchmarks.board.making.cells import cells_of
from benchmarks.board.making.options import parsed

RESULTS = Path(__file__).parents[3] / "benchmarks"
COMMANDS = {claim.file: claim.command for claim in claims_across()}


def settings_of(command: str) -> tuple[str, argparse.Namespace]:
    name, *words = command.split()
    module = importlib.import_module(name)
    flags = {"defaults": module.DEFAULTS, "add_flags": module.add_flags, "without": module.WITHOUT}
    return name.rpartition(".")[2], parsed(words, prog=name, **flags)


def made(kind: str, given: argparse.Namespace) -> set[str]:
    """The files that a command makes, without the suffix."""
    seeds = 1 if kind == "fitness" else given.seeds
    cells = cells_of(given.methods, given.sparsity, given.granularity, seeds)
    if kind == "models":
        folders = given.models
    elif kind == "luck":
        folders = [f"{size}-{draw}" for size in given.sizes for draw in range(given.draws)]
    else:
        boards = [board_of(seed, name) for seed in range(given.seeds) for name in given.fitnesses]
        folders = [f"{model}/{board}" for model in given.models for board in boards]
    return {f"{folder}/{cell.name}" for folder in folders for cell in cells}


@pytest.mark.parametrize("name", ["models", "luck", "fitness"])
def test_a_flag_that_a_command_does_not_have_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"benchmarks.board.{name}"
    for flag in importlib.import_module(command).WITHOUT:
        with pytest.raises(SystemExit) as ended:
            settings_of(f"{command} {flag} 3")
        assert ended.value.code == 2
        assert f"unrecognized arguments: {flag}" in capsys.readouterr().err


def test_draws_and_seeds_of_some_methods_are_commands_of_their_own() -> None:
    cells = [
        *(("search", draw, seed) for draw in (0, 1) for seed in (0, 1)),
        *(("sleb", draw, 0) for draw in (0, 1)),
        *(("search", draw, 0) for draw in (2, 3)),
    ]
    runs = [
        {
            "protocol": {"calibration": {"corpus": "a + b", "tokens": 8, "seed": draw},
                         "dtype": "float32"},
            "cell": {"method": method, "seed": seed},
        }
        for method, draw, seed in cells
    ]  # fmt: skip
    start = "benchmarks.board.luck --corpus a b --heldout mixed.jsonl --dtype float32 --draws "
    assert luck_command(runs).split("; ") == [
        f"{start}2 --methods search sleb --sizes 8",
        f"{start}2 --seeds 2 --methods search --sizes 8",
        f"{start}4 --methods search --sizes 8",
    ]


@pytest.mark.parametrize("file", COMMANDS)
def test_the_commands_of_a_folder_make_its_cells_and_no_others(file: str) -> None:
    found = [settings_of(command) for command in COMMANDS[file].split("; ")]
    folder = RESULTS / file
    paths = [path for path in folder.rglob("*.json") if path.parent.name != "answers"]
    kept = {str(path.relative_to(folder).with_suffix("")) for path in paths}
    assert set().union(*(made(kind, given) for kind, given in found)) == kept
    for kind, given in found:
        assert given.output != given.patterns_from
        if given.patterns_from is None and any(other.patterns_from for _, other in found):
            continue  # a first step, whose cells are not kept
        for path in paths:
            name = str(path.relative_to(folder).with_suffix(""))
            if name not in made(kind, given):
                continue
            protocol = json.loads(path.read_text())["protocol"]
            assert protocol["dtype"] == given.dtype
            assert protocol["limit"] == given.limit
            assert protocol.get("arithmetic", 0) == given.arithmetic
            assert protocol.get("compensate", {"form": "off"})["form"] == given.compensate
