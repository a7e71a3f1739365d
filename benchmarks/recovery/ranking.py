"""Does the order of near-optimal patterns change when they are compensated?

    python -m benchmarks.recovery.ranking runs/0.2 runs/0.33 --corpus mixed.jsonl \\
        --patterns 40 --json ranking.json

Takes the patterns with the lowest losses that each run has evaluated, and compensates each of
them. Their losses with and without compensation, in nats per token on held-out text of all domains,
give the rank correlation, and the regret of a choice: the compensated loss of the chosen pattern
above the lowest one. The error of a difference is over windows.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.recovery.exam import add_exam_flags, exam_of
from evop_deap.base.files import write_json
from evop_deap.runs.storage.checkpoint import load_checkpoint
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.space import Pattern, dropped_units


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
    from evop_deap.models.anatomy.find_anatomy import find_anatomy
    from evop_deap.recovery.compensation.compensate import compensate

    granularity = load_run(folder).settings["granularity"]
    anatomy = find_anatomy(loaded.model, granularity)
    checkpoint = load_checkpoint(RunFolder(Path(folder)).checkpoint, {})
    rows = []
    for pattern, behind in nearest(checkpoint.rows, count):
        dropped = dropped_units(pattern)
        made = compensate(loaded.model, anatomy, dropped, exam.fit, stored=loaded.stored_dtype)
        rows.append(
            {
                "dropped": [anatomy.parts[i].name for i in dropped],
                "behind": behind,
                "cuts": len(made.cuts),
                "aside": made.after,
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
    seen = np.array([row["behind"] for row in rows])
    pruned = np.array([_mean(row["pruned"]) for row in rows])
    made = np.array([_mean(row["compensated"]) for row in rows])
    aside = np.array([row["aside"] for row in rows])
    by_domain = np.array([list(row["compensated"].values()) for row in rows])
    best = int(made.argmin())
    first = int(seen.argmin())
    gap = by_domain[first] - by_domain[best]
    excess = float(pruned[first] - _mean(dense))
    return {
        "patterns": len(rows),
        "correlation": {
            "pruned": float(spearmanr(pruned, made).statistic),
            "search": float(spearmanr(seen, made).statistic),
            "aside": float(spearmanr(aside, made).statistic),
        },
        "regret": {
            "search": float(made[first] - made[best]),
            "pruned": float(made[int(pruned.argmin())] - made[best]),
            "aside": float(made[int(aside.argmin())] - made[best]),
            "near-equals by aside": float(made[int(aside[:8].argmin())] - made[best]),
        },
        "error": float(gap.std(ddof=1) / len(gap) ** 0.5),
        "best": rows[best]["dropped"],
        "named": rows[first]["dropped"],
        "removed": {
            "named": float((pruned[first] - made[first]) / excess),
            "best": float((pruned[first] - made[best]) / excess),
            "chosen by aside": float((pruned[first] - made[int(aside.argmin())]) / excess),
        },
    }


def table(report: dict[str, Any]) -> str:
    """A row for each run; regrets in thousandths of a nat per token."""
    header = ["run", "patterns", "rank correlation: search", "pruned", "aside",
              "regret: search", "pruned", "aside", "8 near-equals", "error",
              "excess removed: named", "best", "chosen by aside"]  # fmt: skip
    return markdown_table(
        header,
        [
            [
                name,
                str(one["patterns"]),
                *(f"{one['correlation'][by]:.2f}" for by in ("search", "pruned", "aside")),
                *(f"{1e3 * value:.1f}" for value in one["regret"].values()),
                f"{1e3 * one['error']:.1f}",
                *(f"{value:.1%}" for value in one["removed"].values()),
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
    parser.add_argument("--patterns", type=int, default=40, metavar="N")
    parser.add_argument("--tokens", type=int, default=16384, metavar="N")
    add_exam_flags(parser, heldout_tokens=512)
    given = parser.parse_args(arguments)

    from evop_deap.models.anatomy.find_anatomy import find_anatomy
    from evop_deap.models.loading.load_model import load_model

    name = load_run(given.runs[0]).settings["model"]
    loaded = load_model(name, dtype="float32", device="cpu")
    exam = exam_of(given, loaded.tokenizer, given.tokens)
    dense = exam.losses(loaded, find_anatomy(loaded.model), (), {})
    patterns = {Path(run).name: measure(run, exam, loaded, given.patterns) for run in given.runs}
    report = {
        "model": name,
        "tokens": given.tokens,
        "heldout_tokens": given.heldout_tokens,
        "window": given.window,
        "seed": given.seed,
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
