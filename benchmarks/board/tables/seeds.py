"""The chance of seeds and of draws of the calibration text in a comparison of two methods."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from benchmarks.board.making.run_files import Run
from benchmarks.common.estimated import Estimated

Figure = Callable[[Run], float]


def chance_of_seeds(runs: Sequence[Run], others: Sequence[Run], figure: Figure) -> list[Estimated]:
    """Return the sources of error in the difference of two methods' mean figures.

    Args:
        runs: the runs of one method in a cell.
        others: those of another.
        figure: what is compared.

    Returns:
        The paired differences, if both have the same draws of the calibration text. Otherwise the
        figures of each method, whose seeds have nothing in common.
    """
    first, second = _by_draw(runs, figure), _by_draw(others, figure)
    if len(first) > 1 and first.keys() == second.keys():
        both = [statistics.fmean(first[d]) - statistics.fmean(second[d]) for d in first]
        return [Estimated.of(both)]
    return [Estimated.of([*map(figure, some)]) for some in (runs, others)]


def _by_draw(runs: Sequence[Run], figure: Figure) -> dict[int, list[float]]:
    """The figures of each draw of the calibration text."""
    found: dict[int, list[float]] = {}
    for run in runs:
        seed = run.get("protocol", {}).get("calibration", {}).get("seed", 0)
        found.setdefault(seed, []).append(figure(run))
    return found
