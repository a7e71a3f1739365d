r"""The best pattern of a landscape by a board's held-out text, as a limit for all methods.

    python -m benchmarks.board.limit --landscape demo.blocks.npz --best 60 --quick \
        --corpus mixed.jsonl wiki.train.txt --heldout mixed.jsonl

All other flags are the board's own; of several values of `--sparsity` the first is used. The
patterns with the lowest loss in the landscape are evaluated on the calibration text, which all
methods use, and on the held-out text, which none uses. The lowest held-out loss is approximately
the lowest that any method can reach; the approximation improves with more patterns, because the two
texts rank patterns differently. A perfect search would find the lowest calibration loss.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.board.making.options import parsed
from benchmarks.board.making.protocol import calibration_for, check_sizes, plan_of
from benchmarks.board.making.run_files import HELDOUT
from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import (
    circumstances,
    errors_in_one_line,
    markdown_table,
    without_folders,
)
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.fitness.landscape import Landscape, load_landscape
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.loading.load_model import load_model
from evop_deap.space import Pattern, dropped_units, units_to_drop

SHOWN = 8


def least(landscape: Landscape, sparsity: float, count: int) -> list[Pattern]:
    """Return the `count` patterns of lowest loss that drop this share of the units.

    Raises:
        InputError: the landscape has no such patterns.
    """
    n_drop = units_to_drop(len(landscape.units), sparsity)
    (some,) = np.nonzero(landscape.patterns.sum(axis=1) == len(landscape.units) - n_drop)
    if not len(some):
        raise InputError(f"`landscape` has no pattern without {n_drop} of its units")
    best = some[np.argsort(landscape.losses[some], kind="stable")[:count]]
    return [tuple(row) for row in landscape.patterns[best].tolist()]


def measure(given: argparse.Namespace, board: argparse.Namespace) -> list[dict[str, Any]]:
    """Evaluate each pattern; return losses in nats per token, the best by held-out text first."""
    check_sizes(board)
    patterns = least(load_landscape(given.landscape), board.sparsity[0], given.best)
    loaded = load_model(board.model, dtype=board.dtype, device=board.device)
    anatomy = find_anatomy(loaded.model, board.granularity[0])
    if (units := len(model_units(anatomy))) != len(patterns[0]):
        raise InputError(
            f"`landscape` has {len(patterns[0])} units, but the model has {units}: "
            "give the landscape's own `model` and `granularity`"
        )
    calibration = calibration_for(board, loaded)
    texts = [t for t in plan_of(board, loaded, calibration).texts if t.role == HELDOUT]
    if not texts:
        raise InputError("`heldout` must be given: patterns are evaluated on it")

    def losses(tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        return PopulationEvaluator(loaded.model, anatomy, tokens).evaluate(patterns).losses

    seen = losses(calibration.calibration.tokens)
    kept = np.mean([losses(windows) for windows in texts[0].cut.values()], axis=0)
    rows = [
        {"dropped": list(dropped_units(p)), "calibration": one, "heldout": other}
        for p, one, other in zip(patterns, seen.tolist(), kept.tolist(), strict=True)
    ]
    return sorted(rows, key=lambda row: float(row["heldout"]))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Perplexities of the best by held-out text, and of the best by calibration text."""
    asked = min(rows, key=lambda row: float(row["calibration"]))
    shown = [*rows[:SHOWN], *([] if asked in rows[:SHOWN] else [asked])]
    return markdown_table(
        ["rank", "without", "held-out", "calibration", "rank by it"],
        [
            [
                str(1 + rows.index(row)),
                ", ".join(map(str, row["dropped"])),
                *(f"{math.exp(row[text]):.2f}" for text in ("heldout", "calibration")),
                str(1 + sum(other["calibration"] < row["calibration"] for other in rows)),
            ]
            for row in shown
        ],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, evaluate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--landscape", type=Path, required=True)
    parser.add_argument(
        "--best", type=count_flag, default=60, help="patterns (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path)
    given, others = parser.parse_known_args(arguments)
    board = parsed(others)
    rows = measure(given, board)
    print(table(rows))
    if given.json:
        settings = {
            name: getattr(board, name)
            for name in (
                *("model", "dtype", "window", "tokens", "calibration_seed"),
                *("heldout_window", "heldout_tokens", "exam_share"),
            )
        }
        settings |= {"landscape": given.landscape, "sparsity": board.sparsity[0]}
        settings |= {"corpus": board.corpus, "heldout": board.heldout}
        settings = without_folders(settings, "landscape", "corpus", "heldout")
        write_json(given.json, {**circumstances(), "settings": settings, "patterns": rows})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
