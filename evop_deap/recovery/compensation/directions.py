"""The full form where a norm follows the last matrix.

A norm g ⊙ v / rms(v) removes the length of the matrix' output v and keeps its direction. To first
order, a change of the matrix moves the norm's output only across v, in units of rms(v). The wanted
change across v gives a linear system. Its true effect is computed through the norm, on the tokens
kept aside, which choose the ridge.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evop_deap.recovery.compensation.fit import Fitted, Missing
from evop_deap.recovery.compensation.folding import with_matrix
from evop_deap.recovery.compensation.form_names import FULL
from evop_deap.recovery.compensation.hearing import Heard
from evop_deap.recovery.compensation.normal_equations import RIDGES, NormalEquations, Rows, exact
from evop_deap.recovery.compensation.writer import Writer

_SMALLEST_GAIN = 0.1  # of their root mean square: channels that hardly count must not decide


class DirectionFit:
    """The change of the matrix in front of a norm that brings states nearest the dense ones.

    Args:
        norm: a writer with a `feeder`, the matrix.
    """

    name = FULL

    def __init__(self, norm: Writer) -> None:
        assert norm.feeder is not None
        self.writers = (norm.feeder, norm)
        self.needs = norm.feeder.inputs
        gains = exact(norm.weight.data) + norm.offset
        floor = _SMALLEST_GAIN * gains.square().mean().sqrt()
        self._gains = gains * norm.share
        self._inverse = gains / (gains.square() + floor.square()) / norm.share
        self._equations = NormalEquations()
        self._aside: list[tuple[Heard, Missing]] = []

    def add(self, heard: Sequence[Heard], missing: Missing, *, aside: bool) -> None:
        """Add tokens: inputs and outputs of matrix and norm, and what is missing behind the cut."""
        if aside:
            self._aside.append((heard[0], missing))
        else:
            self._take_in(heard[0], missing)

    @property
    def work(self) -> int:
        """Multiply-adds spent on the tokens so far."""
        return self._equations.rows * self._equations.work_per_row

    def solved(self) -> Fitted | None:
        """Return the changes, the ridge chosen by the tokens kept aside; None if singular."""
        found = []
        for ridge in RIDGES if self._equations.rows else ():
            values = self._equations.solve(ridge)
            if values is not None:
                found.append(Fitted(self._folded(values), self._remaining(values), ridge))
        return min(found, key=lambda fitted: fitted.remaining, default=None)

    def solved_with_all(self, fitted: Fitted) -> Fitted:
        """Return the same fit on all tokens, with those kept aside."""
        for matrix, missing in self._aside:
            self._take_in(matrix, missing)
        assert fitted.ridge is not None
        values = self._equations.solve(fitted.ridge)
        if values is None:
            return fitted
        return Fitted(self._folded(values), fitted.remaining, fitted.ridge)

    def _take_in(self, matrix: Heard, missing: Missing) -> None:
        said = exact(matrix.outputs)
        size = _size(said)
        wanted = exact(missing.errors) * self._inverse
        along = (said * wanted).mean(1, keepdim=True) / size.square()
        across = wanted - along * said
        self._equations.add(Rows(exact(matrix.inputs) / size, across, missing.weights))

    def _folded(self, values: torch.Tensor) -> dict[torch.nn.Parameter, torch.Tensor]:
        return with_matrix(self.writers[0], values)

    def _remaining(self, values: torch.Tensor) -> float:
        """Return the squared distance to the dense states on the tokens kept aside."""
        left = 0.0
        for matrix, missing in self._aside:
            before = exact(matrix.outputs)
            after = before + exact(matrix.inputs) @ values
            moved = self._gains * (after / _size(after) - before / _size(before))
            still = exact(missing.weights)[:, None] * (exact(missing.errors) - moved)
            left += float(still.square().sum())
        return left


def _size(said: torch.Tensor) -> torch.Tensor:
    """(tokens, 1) root mean square."""
    return said.square().mean(1, keepdim=True).sqrt().clamp_min(1e-30)
