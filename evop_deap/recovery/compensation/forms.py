"""The forms that a cut allows."""

from __future__ import annotations

from collections.abc import Sequence

from evop_deap.recovery.compensation.directions import DirectionFit
from evop_deap.recovery.compensation.fit import Fit
from evop_deap.recovery.compensation.form_names import AUTO, FULL, MAP, SCALE
from evop_deap.recovery.compensation.gains import GainsFit
from evop_deap.recovery.compensation.matrices import MatrixFit
from evop_deap.recovery.compensation.writer import GAINS, LINEAR, Writer


def fits_for(
    asked: str, writers: Sequence[Writer], tokens: int, *, quick: bool = False
) -> tuple[list[Fit], str]:
    """Return the fits to try at a cut, and why a richer one is not among them.

    Without any fit, only a scale is left.

    Args:
        asked: "auto", "full", "map" or "scale".
        writers: the writers before the cut, the last one first.
        tokens: number of tokens to fit on.
        quick: whether fits may be less exact.
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
    able = [fit for fit in fits if fit.needs <= tokens]
    short = [f"{fit.name} needs {fit.needs:,} tokens" for fit in fits if fit.needs > tokens]
    said = f"{' and '.join(short)}, and there are {tokens:,}" if short else ""
    return (able[:1] if asked == FULL else able), said
