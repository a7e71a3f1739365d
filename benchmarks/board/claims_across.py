"""Claims across models, calibration texts and fitnesses, of the folders that are kept."""

from __future__ import annotations

from benchmarks.board.commands import fitness_command, luck_command, models_command
from benchmarks.board.fitness import runs_by_fitness
from benchmarks.board.luck import runs_of
from benchmarks.board.making.run_files import Run
from benchmarks.board.models import runs_by_model
from benchmarks.board.tables import fitness_tables
from benchmarks.board.tables.luck_tables import answer, leads_of
from benchmarks.board.tables.models_tables import boards_of, mean_difference, mean_ratio
from benchmarks.board.tables.zero_shot import in_points
from benchmarks.common.claim import ROOT, Claim, measured_at

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
    said = answer(leads_of(runs)).replace("**", "")
    command = luck_command(runs)
    return [Claim(what + _compensated(runs[0]), said, command, file, measured_at(file))]


def models_claims(file: str) -> list[Claim]:
    """Claims of a folder of `benchmarks.board.models`, over all its models."""
    runs = runs_by_model(ROOT / file)
    boards = boards_of(runs)
    names = [board.name for board in boards]
    rivals = [name for name in RIVALS if any(board.pairs(name) for board in boards)]
    leads = [(name, mean_difference(boards, name)) for name in rivals]
    said = {
        "held-out perplexity, search / {}": {
            name: str(mean_ratio(boards, name)) for name in rivals
        },
        "accuracy in points, search - {}": {name: in_points(lead) for name, lead in leads if lead},
    }
    command = models_command({board.name: runs[board.name] for board in boards})
    found = []
    for what, known in said.items():
        if known:
            of = f"{'mean over ' if len(names) > 1 else ''}{', '.join(names)}"
            named = f"{what.format(', '.join(known))}, {of}{_compensated(boards[0].dense)}"
            figure = ", ".join(known.values())
            found.append(Claim(named, figure, command, file, measured_at(file)))
    return found


def fitness_claims(file: str) -> list[Claim]:
    """Claims of a folder of `benchmarks.board.fitness`, over all its models."""
    found = runs_by_fitness(ROOT / file)
    models = fitness_tables.searches_of(found)
    seen, unseen = fitness_tables.tasks_of(found)
    names = dict.fromkeys(name for one in models for name in one.searches)
    claims = []
    command = fitness_command({one.model: one.dense for one in models})
    for name in names:
        leads = [("tasks seen", seen), ("tasks never seen", unseen)]
        known = {
            what: in_points(lead)
            for what, tasks in leads
            if (lead := fitness_tables.mean_lead(models, name, tasks))
        }
        if ratio := fitness_tables.mean_ratio(models, name):
            known = {"held-out": str(ratio), **known}
            what = (
                f"searched by {name} against ce: perplexity ratio or accuracy in points, "
                f"{', '.join(known)}"
            )
            claims.append(Claim(what, ", ".join(known.values()), command, file, measured_at(file)))
    return claims


def _compensated(run: Run) -> str:
    return ", all compensated" if "compensate" in run["protocol"] else ""
