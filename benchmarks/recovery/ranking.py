"""Does the order of near-optimal patterns change when they are compensated?

    python -m benchmarks.recovery.ranking runs/0.2 runs/0.33 --corpus mixed.jsonl \\
        --patterns 40 --json ranking.json

Takes the patterns with the lowest losses that each run has evaluated without compensation, and
compensates each of them. Their losses on held-out text of all domains, in nats per token, give the
rank correlation, and the regret of a choice: the compensated loss of the chosen pattern above the
lowest one. The choice is by the loss in the run, on held-out text without compensation, or on a
calibration set as a search evaluates patterns (`search`). The error of a difference is over
domains.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.recovery.exam import add_exam_flags, check_sizes, exam_of
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.runs.storage.checkpoint import load_checkpoint
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.space import Pattern, dropped_units

_WINDOWS = 8  # of the calibration set


def nearest(rows: Mapping[Pattern, NDArray[np.float64]], count: int) -> list[tuple[Pattern, float]]:
    """Return the patterns with the lowest losses, each with its loss above the best, in nats a
    window.

    A pattern that was eliminated is compared with the best on the windows it was evaluated on.

    Args:
        rows: (windows,) sums of losses of each pattern; NaN for windows not evaluated.
        count: number of patterns.
    """
    pruned = {pattern: row for pattern, row in rows.items() if not all(pattern)}
    whole = {p: float(row.sum()) for p, row in pruned.items() if np.isfinite(row).all()}
    best = pruned[min(whole, key=whole.__getitem__)]
    behind = {p: float(np.nanmean(row - best)) for p, row in pruned.items()}
    return sorted(behind.items(), key=lambda pair: pair[1])[:count]


def measure(folder: str, exam: Any, loaded: Any, count: int) -> list[dict[str, Any]]:
    """Return a row for each pattern: its losses by window, with and without compensation."""
    from evop_deap.fitness.model.population import PopulationEvaluator
    from evop_deap.models.anatomy.find_anatomy import find_anatomy
    from evop_deap.recovery.compensation.compensate import compensate
    from evop_deap.recovery.compensation.search_compensator import SearchCompensator
    from evop_deap.runs.compensating import SEARCH_TOKENS

    settings = load_run(folder).settings
    if settings["compensate"] != "off":
        given = settings["compensate"]
        raise InputError(f"`runs` {folder} has compensate {given}: run it with off")
    anatomy = find_anatomy(loaded.model, settings["granularity"])
    checkpoint = load_checkpoint(RunFolder(Path(folder)).checkpoint, {})
    text, calibration = exam.fit[:-_WINDOWS], exam.fit[-_WINDOWS:]
    few = SearchCompensator(loaded.model, anatomy, text[: SEARCH_TOKENS // text.shape[1]])
    searched = PopulationEvaluator(loaded.model, anatomy, calibration, compensator=few)
    rows = []
    for pattern, behind in nearest(checkpoint.rows, count):
        dropped = dropped_units(pattern)
        made = compensate(loaded.model, anatomy, dropped, text, stored=loaded.stored_dtype)
        rows.append(
            {
                "dropped": [anatomy.parts[i].name for i in dropped],
                "behind": behind,
                "cuts": len(made.cuts),
                "search": float(searched.evaluate([pattern]).losses[0]),
                "pruned": exam.losses(loaded, anatomy, dropped, {}),
                "compensated": exam.losses(loaded, anatomy, dropped, made.changes),
            }
        )
        print(rows[-1]["dropped"], _mean(rows[-1]["pruned"]), _mean(rows[-1]["compensated"]),
              flush=True)  # fmt: skip
    return rows


def _mean(losses: Mapping[str, float]) -> float:
    return sum(losses.values()) / len(losses)


def summary(rows: Sequence[dict[str, Any]], dense: Mapping[str, float]) -> dict[str, Any]:
    """Return rank correlations and regrets over the patterns of one run."""
    made = np.array([_mean(row["compensated"]) for row in rows])
    by = {
        "run": np.array([row["behind"] for row in rows]),
        "pruned": np.array([_mean(row["pruned"]) for row in rows]),
        "search": np.array([row["search"] for row in rows]),
    }
    chosen = {name: int(values.argmin()) for name, values in by.items()}
    best = int(made.argmin())
    by_domain = np.array([list(row["compensated"].values()) for row in rows])
    gap = by_domain[chosen["run"]] - by_domain[best]
    pruned = float(by["pruned"][chosen["run"]])
    excess = pruned - _mean(dense)
    return {
        "patterns": len(rows),
        "correlation": {n: float(spearmanr(values, made).statistic) for n, values in by.items()},
        "regret": {name: float(made[place] - made[best]) for name, place in chosen.items()},
        "error": float(gap.std(ddof=1) / len(gap) ** 0.5),
        "best": rows[best]["dropped"],
        "chosen": {name: rows[place]["dropped"] for name, place in chosen.items()},
        "removed": {
            name: float((pruned - made[place]) / excess)
            for name, place in {**chosen, "best": best}.items()
        },
    }


def table(report: dict[str, Any]) -> str:
    """A row for each run; regrets in thousandths of a nat per token."""
    choices = ("run", "pruned", "search")
    header = [
        *("run", "patterns"),
        *(f"rank correlation by {choice}" for choice in choices),
        *(f"regret by {choice}" for choice in choices),
        "error",
        *(f"excess removed by {choice}" for choice in (*choices, "best")),
    ]
    return markdown_table(
        header,
        [
            [
                name,
                str(one["patterns"]),
                *(f"{one['correlation'][choice]:.2f}" for choice in choices),
                *(f"{1e3 * one['regret'][choice]:.1f}" for choice in choices),
                f"{1e3 * one['error']:.1f}",
                *(f"{one['removed'][choice]:.1%}" for choice in (*choices, "best")),
            ]
            for name, one in report["summary"].items()
        ],
    )


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print the table and write it if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--patterns", type=count_flag, default=40, metavar="N")
    parser.add_argument("--tokens", type=count_flag, default=16384, metavar="N")
    add_exam_flags(parser, heldout_tokens=512)
    given = parser.parse_args(arguments)
    check_sizes(given)

    from evop_deap.models.anatomy.find_anatomy import find_anatomy
    from evop_deap.models.loading.load_model import load_model

    name = load_run(given.runs[0]).settings["model"]
    loaded = load_model(name, dtype="auto", device="cpu")
    exam = exam_of(given, loaded.tokenizer, given.tokens + _WINDOWS * given.window)
    dense = exam.losses(loaded, find_anatomy(loaded.model), (), {})
    patterns = {Path(run).name: measure(run, exam, loaded, given.patterns) for run in given.runs}
    report = {
        "model": name,
        "tokens": given.tokens,
        "heldout_tokens": given.heldout_tokens,
        "window": given.window,
        "seed": given.seed,
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        **circumstances(),
        "dense": dense,
        "patterns": patterns,
        "summary": {run: summary(rows, dense) for run, rows in patterns.items()},
    }
    print(table(report))
    if given.json is not None:
        write_json(given.json, report)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
