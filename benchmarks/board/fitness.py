r"""Which fitness serves tasks: the same search by several fitnesses, the same exam for all.

    python -m benchmarks.board.fitness --models demo --corpus mixed.jsonl --heldout mixed.jsonl \
        --questions tasks/arc_easy.dev.jsonl tasks/arc_challenge.dev.jsonl --tasks-from tasks/ \
        --limit 500 --seeds 3 --output runs/fitness
    python -m benchmarks.board.fitness --table --output runs/fitness

A fitness is one of `evop_deap.search`, on the text of `--corpus` and the questions of
`--questions`, or `ce-tasks`: cross-entropy of these questions with their right answers, as text.
Every seed draws text and questions anew. For each model, fitness and seed, `--output` has a folder
with a board of the search alone. Running the command again makes the missing cells, also with more
models, fitnesses or seeds, and several processes with the same command share the work. With
`--patterns-from` all patterns of a model answer the tasks at once. All other flags are the board's
own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.board.making.filled import filled
from benchmarks.board.making.options import check_one_cell, parsed
from benchmarks.board.making.run_files import Run, read_runs
from benchmarks.board.making.shared_evaluations import ANSWERS, Beside
from benchmarks.board.models import folder_of, folders_of
from benchmarks.board.tables.fitness_tables import BASELINE, Found, fitness_tables
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_text
from evop_deap.fitness.fitnesses import read_fitness
from evop_deap.settings.heuristic_names import SEARCH

ON_TASK_TEXT, TASK_TEXT = "ce-tasks", "task_text.jsonl"
DEFAULTS = {
    "sparsity": [0.2],
    "granularity": ["block"],
    "methods": [SEARCH],
    "seeds": 3,
    "exam_share": 0.25,
    "heldout_tokens": 2048,
    "output": Path("runs/fitness"),
}

WITHOUT = ("--quick", "--model", "--methods", "--fitness", "--calibration-seed")


def fill_boards(given: argparse.Namespace) -> int:
    """Make the missing cells of all models, fitnesses and seeds; return how many failed.

    Raises:
        EvopError: an argument, a model, a text or a file of questions cannot be used.
    """
    from benchmarks.board.making.missing_cells import fill, load  # imports PyTorch

    check_one_cell(given)
    settings = {name: settings_of(name, given) for name in given.fitnesses}
    if ON_TASK_TEXT in given.fitnesses:
        write_task_text(task_text(given), given.questions)
    cells = [(seed, name) for seed in range(given.seeds) for name in settings]
    failed = 0
    for model, output in zip(given.models, folders_of(given.output, given.models), strict=True):
        known = given.patterns_from and folder_of(given.patterns_from, model)
        along = patterns_in([known / board_of(*cell) for cell in cells]) if known else []
        loaded = load(argparse.Namespace(**{**vars(given), "model": model, "questions": []}))
        for seed, name in cells:
            print(f"{model} by {name}, seed {seed}", file=sys.stderr, flush=True)
            folder = output / board_of(seed, name)
            others = sorted(path for path in output.glob("*-*") if path != folder)
            board = {**vars(given), "model": model, "seeds": 1, "calibration_seed": seed}
            board |= {**settings[name], "output": folder}
            board["patterns_from"] = known and known / folder.name
            beside = Beside(others, output / ANSWERS, along)
            failed += len(fill(argparse.Namespace(**board), loaded, beside))
    return failed


def board_of(seed: int, fitness: str) -> str:
    """Return the name of the folder of a board, below that of its model."""
    return f"{fitness.replace('*', 'x')}-{seed}"


def patterns_in(folders: Sequence[Path]) -> list[tuple[str, Sequence[str]]]:
    """Return granularity and dropped units of all runs of some boards.

    Raises:
        InputError: a file is not a run.
    """
    runs = [run for folder in folders for run in read_runs(folder)]
    return [(run["cell"]["granularity"], run["found"]["dropped"]) for run in runs]


def settings_of(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return the board's settings for a fitness.

    Raises:
        InputError: it is unknown, or needs questions and there are none.
    """
    asks = name == ON_TASK_TEXT or read_fitness(name).weight > 0
    if asks and not given.questions:
        raise InputError(f"`questions` must be given for the fitness {name}")
    if name == ON_TASK_TEXT:
        return {"fitness": "ce", "questions": [], "corpus": [str(task_text(given))]}
    return {"fitness": name, "questions": given.questions if asks else []}


def task_text(given: argparse.Namespace) -> Path:
    """Return the file with the questions as text."""
    path: Path = given.output / TASK_TEXT
    return path


def write_task_text(path: Path, questions: Sequence[str]) -> None:
    """Write each question with its right answer as a document, as the harness words it.

    Raises:
        InputError: a file of questions cannot be read.
    """
    from evop_deap.evaluation.question_files import check_question_files, read_questions

    rows = []
    for file in check_question_files(questions):
        for question in read_questions(file):
            text = "".join(question.options[question.right])
            rows.append({"id": question.place, "domain": file.name.split(".")[0], "text": text})
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def runs_by_fitness(output: Path) -> Found:
    """Read all finished runs, by model and fitness.

    Raises:
        InputError: a file is not a run.
    """
    found: dict[str, dict[str, list[Run]]] = {}
    for folder in sorted(output.glob("*/*-*")):
        for run in read_runs(folder):
            protocol = run["protocol"]
            on_tasks = protocol["calibration"]["corpus"] == TASK_TEXT
            name = ON_TASK_TEXT if on_tasks else protocol.get("fitness", BASELINE)
            found.setdefault(protocol["model"], {}).setdefault(name, []).append(run)
    return found


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that the board does not have."""
    add = parser.add_argument_group("fitness").add_argument
    add("--table", action="store_true", help="only print the tables of the cells that are there")
    add("--models", nargs="+", default=["demo"], metavar="NAME", help="as for evop_deap.search")
    add(
        "--fitnesses",
        nargs="+",
        default=[BASELINE, "kl", ON_TASK_TEXT, "answers", "ce+0.5*answers"],
        metavar="NAME",
        help="what the search minimises (default: %(default)s)",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, make what is missing and print the tables; returns the exit code."""
    name = "benchmarks.board.fitness"
    given = parsed(
        arguments, __doc__, prog=name, defaults=DEFAULTS, add_flags=add_flags, without=WITHOUT
    )
    fill = None if given.table else partial(fill_boards, given)
    return filled(fill, lambda: fitness_tables(runs_by_fitness(given.output)))


if __name__ == "__main__":
    sys.exit(main())
