"""Claims from the board: the search compared with every heuristic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.board.claims_across import claims_across
from benchmarks.board.making.cells import ALL
from benchmarks.board.making.options import QUICK
from benchmarks.board.making.run_files import read_runs
from benchmarks.board.tables.board_tables import board_tables
from benchmarks.common.claim import ROOT, Claim, measured_at, read
from benchmarks.common.record import table_rows

TEXTS = "--corpus mixed.jsonl wiki.train.first1MB.txt --heldout mixed.jsonl"
BOARD = f"benchmarks.board {TEXTS} --wiki-test wiki.test.raw"
EVALUATION = "--wiki-tokens 16384 --heldout-tokens 2048"
ONCE = ("angular", "relative-magnitude", "block-influence", "llm-drop")
"""Heuristics that score the model in one pass."""


def claims() -> list[Claim]:
    """Claims of the board, its parts, the smaller ones, the limit, and across models and text."""
    return [*_whole(), _zero_shot(), _less_text(), _quick(), _limit(), *claims_across()]


def _parts(name: str) -> list[str]:
    """The paragraphs and tables of a board."""
    return board_tables(read_runs(ROOT / "board/results" / name)).split("\n\n")


def _methods(name: str, default: Sequence[str] = ALL) -> str:
    """The flag of a board's methods; empty if they are what a command without it has."""
    kept = {run["cell"]["method"] for run in read_runs(ROOT / "board/results" / name)}
    named = [method for method in ALL if method in kept]
    return "" if set(named) == {*default} else f" --methods {' '.join(named)}"


def _whole() -> list[Claim]:
    *_, whatever, affordable, table = _parts("demo")
    rows = {name: (row[-2], row[-1]) for name, row in table_rows(table).items()}
    said = {
        "search / EvoPress's procedure, held-out perplexity, six cells": rows["evopress"][0],
        "search / greedy removal (SLEB), the same": rows["sleb"][0],
        f"search / {', '.join(ONCE)}, the same": ", ".join(rows[name][0] for name in ONCE),
        "search / the best heuristic of each cell at equal or lower cost": affordable.split("**")[
            1
        ],
        "search / the best heuristic of each cell, whatever it costs": whatever.split("**")[1],
        "highest mean cost of a cell by search, EvoPress's procedure, greedy removal": ", ".join(
            rows[name][1] for name in ("**search**", "evopress", "sleb")
        ),
    }
    file = "board/results/demo"
    command = f"{BOARD} {EVALUATION} --dtype float32 --seeds 5{_methods('demo')}"
    return [Claim(what, figure, command, file, measured_at(file)) for what, figure in said.items()]


def _zero_shot() -> Claim:
    rows = table_rows(next(part for part in _parts("tasks") if part.startswith("| zero-shot")))
    names = ("sleb", "evopress", "relative-magnitude")
    return Claim(
        f"search - {', '.join(names)}, zero-shot accuracy in points, one seed",
        ", ".join(rows[name][-1] for name in names),
        f"{BOARD} {EVALUATION} --dtype bfloat16 --seeds 1 --tasks-from tasks --limit 200"
        f"{_methods('tasks')}",
        file := "board/results/tasks",
        measured_at(file),
    )


def _less_text() -> Claim:
    rows = table_rows(_parts("blocks")[-1])
    sizes = "--tokens 1024 --wiki-window 512 --wiki-tokens 8192 --heldout-window 256"
    return Claim(
        "search / EvoPress's procedure, greedy removal, held-out, 1,024 tokens, three cells",
        ", ".join(rows[name][-2] for name in ("evopress", "sleb")),
        f"{BOARD} {sizes} --heldout-tokens 1024 --granularity block --dtype float32 "
        f"--seeds 3 --max-cost 55{_methods('blocks')}",
        file := "board/results/blocks",
        measured_at(file),
    )


def _quick() -> Claim:
    rows = table_rows(_parts("quick")[2])
    return Claim(
        "held-out perplexity by search, EvoPress's procedure, greedy removal, 3 of 30 blocks",
        ", ".join(rows[name][1] for name in ("**search**", "evopress", "sleb")),
        f"{BOARD} --quick --dtype float32 --seeds 3{_methods('quick', QUICK['methods'])}",
        file := "board/results/quick",
        measured_at(file),
    )


def _limit() -> Claim:
    file = "board/results/limit.demo.json"
    best, second = (math.exp(row["heldout"]) for row in read(file)["patterns"][:2])
    return Claim(
        "lowest held-out perplexity of 150 patterns of a landscape; the second is the search's",
        f"{best:.2f}; {second:.2f}",
        "benchmarks.board.limit --landscape benchmarks/landscapes/demo.blocks.npz --best 150 "
        f"{TEXTS} --heldout-tokens 2048 --dtype float32",
        file,
        measured_at(file),
    )
