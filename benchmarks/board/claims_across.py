"""Claims across models, calibration texts and fitnesses, of the folders that are kept."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.board import fitness_tables
from benchmarks.board.cells import DENSE
from benchmarks.board.fitness import runs_by_fitness
from benchmarks.board.luck import runs_of
from benchmarks.board.luck_tables import answer, leads_of
from benchmarks.board.models import runs_by_model
from benchmarks.board.models_tables import (
    ModelBoard,
    boards_of,
    mean_difference,
    mean_ratio,
)
from benchmarks.board.ratios import Ratio
from benchmarks.board.run_files import Run
from benchmarks.board.zero_shot import Difference
from benchmarks.common.claim import ROOT, Claim, measured_at

TEXTS = "--corpus mixed.jsonl --heldout mixed.jsonl"
RIVALS = ("evopress", "sleb", "angular", "relative-magnitude", "block-influence")


def claims_across() -> list[Claim]:
    """Claims of every kept folder."""
    found = []
    for kind, claims in (
        ("luck", luck_claims),
        ("models", models_claims),
        ("fitness", fitness_claims),
    ):
        for folder in sorted((ROOT / "board/results").glob(f"{kind}*")):
            found += claims(f"board/results/{folder.name}")
    return found


def luck_claims(file: str) -> list[Claim]:
    """Claims of a folder of `benchmarks.board.luck`.

    Args:
        file: the folder, relative to that of all benchmarks.
    """
    what = "search against the best one-shot rule and the spread over draws of calibration text"
    runs = runs_of(ROOT / file)
    texts = [run["protocol"]["calibration"] for run in runs]
    corpus = texts[0]["corpus"].replace(" + ", " ")
    draws = len({text["seed"] for text in texts})
    sizes = " ".join(str(size) for size in sorted({text["tokens"] for text in texts}))
    said = answer(leads_of(runs)).replace("**", "")
    command = (
        f"benchmarks.board.luck --corpus {corpus} --heldout mixed.jsonl --draws {draws} "
        f"--sizes {sizes}{_compensation(runs[0])}"
    )
    return [Claim(what + _compensated(runs[0]), said, command, file, measured_at(file))]


def models_claims(file: str) -> list[Claim]:
    """Claims of a folder of `benchmarks.board.models`, over all its models."""
    boards = boards_of(runs_by_model(ROOT / file))
    names = [board.name for board in boards]
    dense = [board.dense for board in boards]
    said: dict[str, list[Ratio | None] | list[Difference | None]] = {
        "held-out perplexity, search / {}": [mean_ratio(boards, rival) for rival in RIVALS],
        "accuracy in points, search - {}": [mean_difference(boards, rival) for rival in RIVALS],
    }
    command = f"benchmarks.board.models --models {' '.join(names)} {_cells_of(boards)} {TEXTS}"
    command += _compensation(dense[0]) + _tasks_of(dense, "runs/models")
    found = []
    for what, figures in said.items():
        known = {rival: str(one) for rival, one in zip(RIVALS, figures, strict=True) if one}
        if known:
            of = f"{'mean over ' if len(names) > 1 else ''}{', '.join(names)}"
            named = f"{what.format(', '.join(known))}, {of}{_compensated(dense[0])}"
            figure = ", ".join(known.values())
            found.append(Claim(named, figure, command, file, measured_at(file)))
    return found


def _cells_of(boards: Sequence[ModelBoard]) -> str:
    """The flags of the cells that the boards have, but for the number of seeds."""
    cells = [key for board in boards for key in board.cells]
    methods = {name for board in boards for cell in board.cells.values() for name in cell}
    chosen = {
        "granularity": sorted({granularity for granularity, _ in cells}),
        "sparsity": sorted({f"{share:g}" for _, share in cells}),
        "methods": sorted(methods - {DENSE}),
    }
    return " ".join(f"--{flag} {' '.join(values)}" for flag, values in chosen.items())


def _tasks_of(dense: Sequence[Run], patterns: str) -> str:
    """The flags of the tasks, from the dense run of each model; `patterns` is a folder."""
    protocols = [run["protocol"] for run in dense]
    if not protocols[0]["tasks"]:
        return ""
    words = f" --patterns-from {patterns}" if protocols[0].get("answered") else ""
    limits = dict.fromkeys(protocol["limit"] for protocol in protocols)
    some = " or ".join(str(limit) for limit in limits if limit is not None)
    return f"{words} --tasks-from tasks" + (f" --limit {some}" if some else "")


def fitness_claims(file: str) -> list[Claim]:
    """Claims of a folder of `benchmarks.board.fitness`, over all its models."""
    found = runs_by_fitness(ROOT / file)
    models = fitness_tables.searches_of(found)
    seen, unseen = fitness_tables.tasks_of(found)
    names = dict.fromkeys(name for one in models for name in one.searches)
    claims = []
    command = (
        f"benchmarks.board.fitness --models {' '.join(one.model for one in models)} {TEXTS} "
        "--questions arc_easy.dev.jsonl arc_challenge.dev.jsonl"
    )
    command += _tasks_of([one.dense for one in models], "runs/fitness")
    for name in names:
        figures = {
            "held-out": fitness_tables.mean_ratio(models, name),
            "tasks seen": fitness_tables.mean_lead(models, name, seen),
            "tasks never seen": fitness_tables.mean_lead(models, name, unseen),
        }
        known = {what: str(figure) for what, figure in figures.items() if figure}
        if known:
            what = (
                f"searched by {name} against ce: perplexity ratio or accuracy in points, "
                f"{', '.join(known)}"
            )
            claims.append(Claim(what, ", ".join(known.values()), command, file, measured_at(file)))
    return claims


def _compensation(run: Run) -> str:
    """The flag of the compensation that all cells beside a run have."""
    compensated = run["protocol"].get("compensate")
    return f" --compensate {compensated['form']}" if compensated else ""


def _compensated(run: Run) -> str:
    return ", all compensated" if _compensation(run) else ""
