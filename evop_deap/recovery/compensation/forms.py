"""The forms that a cut allows."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from evop_deap.base.formatting import mebibytes
from evop_deap.recovery.compensation.directions import DirectionFit
from evop_deap.recovery.compensation.fit import Fit
from evop_deap.recovery.compensation.form_names import AUTO, FULL, MAP, SCALE
from evop_deap.recovery.compensation.gains import GainsFit
from evop_deap.recovery.compensation.matrices import MatrixFit
from evop_deap.recovery.compensation.writer import GAINS, LINEAR, Writer

_MATRICES = 3  # of float64, each the square of the unknowns, that solving the equations takes


def fits_for(
    asked: str,
    writers: Sequence[Writer],
    tokens: int,
    *,
    quick: bool = False,
    room: int = sys.maxsize,
) -> tuple[list[Fit], str]:
    """Return the fits to try at a cut, and why a richer one is not among them.

    Without any fit, only a scale is left.

    Args:
        asked: "auto", "full", "map" or "scale".
        writers: the writers before the cut, the last one first.
        tokens: number of tokens to fit on.
        quick: whether fits may be less exact.
        room: most bytes that the equations of a form may take.
    """
    if asked == SCALE:
        return [], ""
    matrices = [writer for writer in writers if writer.kind != GAINS]
    names = {AUTO: (FULL, MAP), FULL: (FULL, MAP), MAP: (MAP,)}[asked]
    if matrices and not any(writer.kind == LINEAR for writer in matrices):
        names = (MAP,)
    fits: list[Fit] = [MatrixFit(name, matrices, quick=quick) for name in names if matrices]
    if not matrices and writers:
        if FULL in names and writers[0].feeder is not None:
            fits.append(DirectionFit(writers[0]))
        fits.append(GainsFit(writers[0]))
    small = [fit for fit in fits if _size(fit) <= room]
    able = [fit for fit in small if fit.needs <= tokens]
    large = [f"{fit.name} needs {mebibytes(_size(fit))}" for fit in fits if fit not in small]
    short = [f"{fit.name} needs {fit.needs:,} tokens" for fit in small if fit.needs > tokens]
    said = [
        f"{' and '.join(large)} of memory, and `memory_budget` leaves {mebibytes(room)}"
        if large
        else "",
        f"{' and '.join(short)}, and there are {tokens:,}" if short else "",
    ]
    return (able[:1] if asked == FULL else able), "; ".join(filter(None, said))


def _size(fit: Fit) -> int:
    """Return about how many bytes the equations of a fit take."""
    return _MATRICES * 8 * fit.needs**2
