"""The gain from validating near-equals on more text, replayed on known losses.

    python -m benchmarks.calibration.near_equals losses.128.npz --json near_equals.json

The file is a matrix written by `python -m benchmarks.calibration losses`. Each draw splits its
windows at random into calibration, validation and the rest, which serves as the truth. Near-equals
are the patterns within one standard error of the best on the calibration windows. One of them is
chosen by calibration alone, by validation alone, or, as in a search, by both. Regret is its true
loss above the lowest true loss of all patterns.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.loss_matrix import LossMatrix, load_matrix
from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from evop_deap.base.files import write_json
from evop_deap.fitness.protocol import Evaluation
from evop_deap.runs.stages.near_equals import near_the_best
from evop_deap.runs.stages.validate import ranked_on_both, tied_with_the_best
from evop_deap.space import Pattern

DECIDED_BY = ("calibration", "validation", "both")


def regrets(
    sums: NDArray[np.float64], tokens: int, calibrate: int, validate: int, rng: np.random.Generator
) -> tuple[list[float], int]:
    """Return the regret of each way to choose in nats per token, and the number of near-equals.

    Args:
        sums: (patterns, windows) losses in nats.
        tokens: number of predicted tokens of a window.
        calibrate: number of windows to calibrate on.
        validate: number of windows to validate on.
        rng: draws the windows.
    """
    dealt = sums[:, rng.permutation(sums.shape[1])]
    seen, more, rest = np.split(dealt, [calibrate, calibrate + validate], axis=1)
    names: list[Pattern] = [(number,) for number in range(len(sums))]
    rows = dict(zip(names, seen, strict=True))
    count = np.full(calibrate, tokens)
    losses = {name: float(row.sum() / count.sum()) for name, row in rows.items()}
    rivals = tied_with_the_best(near_the_best(losses, rows, count), rows, count)
    places = [rival.pattern[0] for rival in rivals]
    validated = Evaluation(more[places], np.full(validate, tokens), np.ones(len(places)))
    named = [
        places[0],
        places[int(validated.losses.argmin())],
        ranked_on_both(rivals, rows, count, validated)[0].pattern[0],
    ]
    truth = rest.mean(axis=1) / tokens
    return [float(truth[one] - truth.min()) for one in named], len(rivals)


def measure(matrix: LossMatrix, sizes: list[int], draws: int, seed: int) -> list[dict[str, Any]]:
    """A row for each number of dropped units, calibration windows and validation windows."""
    rng = np.random.default_rng(seed)
    window = matrix.tokens.shape[1]
    rows = []
    for group in sorted(set(matrix.groups.tolist())):
        chosen = (matrix.groups == group) & ~matrix.probes
        sums = matrix.sums[chosen][:, matrix.domains >= 0]
        for calibrate in sizes:
            for validate in (calibrate, 2 * calibrate, 4 * calibrate):
                played = [regrets(sums, window - 1, calibrate, validate, rng) for _ in range(draws)]
                found = np.array([regret for regret, _ in played])
                rows.append(
                    {
                        "dropped": group,
                        "calibrate": calibrate,
                        "validate": validate,
                        "regret": dict(zip(DECIDED_BY, found.mean(axis=0).tolist(), strict=True)),
                        "error": dict(
                            zip(
                                DECIDED_BY,
                                (found.std(axis=0, ddof=1) / draws**0.5).tolist(),
                                strict=True,
                            )
                        ),
                        "contenders": float(np.mean([competed for _, competed in played])),
                    }
                )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in thousandths of a nat per token."""
    header = ["dropped", "windows", "validation", *DECIDED_BY, "near-equals"]
    return markdown_table(
        header,
        [
            [
                str(row["dropped"]),
                str(row["calibrate"]),
                str(row["validate"]),
                *(f"{1e3 * row['regret'][by]:.1f} ± {1e3 * row['error'][by]:.1f}"
                  for by in DECIDED_BY),
                f"{row['contenders']:.1f}",
            ]
            for row in rows
        ],
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print the table and write it if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("losses", type=Path, metavar="FILE")
    parser.add_argument("--windows", type=count_flag, nargs="+", default=[8, 16, 64], metavar="N")
    parser.add_argument("--draws", type=count_flag, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    matrix = load_matrix(given.losses)
    rows = measure(matrix, given.windows, given.draws, given.seed)
    print(table(rows))
    if given.json is not None:
        about = {"model": str(matrix.model), "about": str(matrix.about), "draws": given.draws}
        write_json(given.json, {**about, "seed": given.seed, **circumstances(), "rows": rows})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
