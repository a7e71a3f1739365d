"""The full and the map form: the last matrices before a cut, by least squares on states.

E is the dense state behind a cut minus the pruned one. The change D of the writers' matrices
minimises ‖X·D - E‖² + λ‖D‖², each token weighted by one over its dense state's length.

- full: X are the writers' inputs, and D is added to their matrices.
- map (ReplaceMe, arXiv 2505.02819): X are their outputs, and I + D is folded into the matrices.
  It needs fewer tokens, and is the form for experts: all experts of a mixture take the same map.

Several writers before one cut, such as attention and MLP in parallel, are solved together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evop_deap.recovery.compensation.fit import Fitted, Missing
from evop_deap.recovery.compensation.folding import Folded, with_map, with_matrix
from evop_deap.recovery.compensation.form_names import FULL
from evop_deap.recovery.compensation.hearing import Heard
from evop_deap.recovery.compensation.normal_equations import (
    QUICK_RIDGES,
    RIDGES,
    NormalEquations,
    Rows,
    best_ridge,
)
from evop_deap.recovery.compensation.writer import LINEAR, Writer

_COMPARED = 7  # the ridge of several cuts is chosen by one output in so many


class MatrixFit:
    """The changes of writers' matrices that bring states behind a cut nearest the dense ones.

    Args:
        name: "full" to fit on the writers' inputs, "map" on their outputs.
        writers: linear layers or experts.
        quick: whether to try few ridges, in float32, which is enough to compare patterns by.

    Attributes:
        needs: number of unknowns of an output, the least number of tokens to fit on.
    """

    def __init__(self, name: str, writers: Sequence[Writer], *, quick: bool = False) -> None:
        self.name = name
        self._ridges = QUICK_RIDGES if quick else RIDGES
        self.writers = tuple(writers)
        self._by_inputs = [name == FULL and w.kind == LINEAR for w in self.writers]
        self._sizes = [
            writer.inputs if by_inputs else writer.outputs
            for writer, by_inputs in zip(self.writers, self._by_inputs, strict=True)
        ]
        offsets = (w for w in self.writers if w.kind == LINEAR and w.bias is not None)
        self._offset = next(offsets, None)
        self.needs = sum(self._sizes)
        self._equations = NormalEquations(
            intercept=self._offset is not None, dtype=torch.float32 if quick else torch.float64
        )
        self._aside: list[Rows] = []

    def add(self, heard: Sequence[Heard], missing: Missing, *, aside: bool) -> None:
        """Add tokens: each writer's inputs and outputs, and what is missing behind the cut."""
        inputs = torch.cat(
            [
                writer.share * (one.inputs if by_inputs else one.outputs)
                for writer, one, by_inputs in zip(self.writers, heard, self._by_inputs, strict=True)
            ],
            dim=1,
        )
        rows = Rows(inputs, missing.errors, missing.weights)
        if aside:
            self._aside.append(rows)
        else:
            self._equations.add(rows)

    @property
    def work(self) -> int:
        """Multiply-adds spent on the tokens so far."""
        return self._equations.rows * self._equations.work_per_row

    def solved(self) -> Fitted | None:
        """Return the changes, the ridge chosen by the tokens kept aside; None if singular."""
        if not self._equations.rows:
            return None
        chosen = best_ridge(self._equations, self._aside, self._ridges)
        if chosen is None:
            return None
        return Fitted(self._folded(chosen.values), chosen.remaining, chosen.ridge)

    def solved_with_all(self, fitted: Fitted) -> Fitted:
        """Return the same fit on all tokens, with those kept aside."""
        for rows in self._aside:
            self._equations.add(rows)
        assert fitted.ridge is not None
        values = self._equations.solve(fitted.ridge)
        if values is None:
            return fitted
        return Fitted(self._folded(values), fitted.remaining, fitted.ridge)

    def solved_each(self) -> list[Folded]:
        """Return the changes for each of several cuts, whose errors stand side by side.

        One ridge is chosen for all, by some outputs of each. The list is empty if the equations
        are singular.
        """
        if not self._equations.rows:
            return []
        chosen = best_ridge(self._equations, self._aside, self._ridges, every=_COMPARED)
        if chosen is None:
            return []
        width = self.writers[0].outputs
        return [self._folded(part) for part in chosen.values.split(width, dim=1)]

    def _folded(self, values: torch.Tensor) -> Folded:
        changes: Folded = {}
        *steps, rest = values.split([*self._sizes, len(values) - sum(self._sizes)])
        for writer, by_inputs, step in zip(self.writers, self._by_inputs, steps, strict=True):
            offset = rest[0] / writer.share if writer is self._offset else None
            fold = with_matrix if by_inputs else with_map
            changes |= fold(writer, step, offset)
        return changes
