"""The gains form: a norm that writes before a cut is fitted channel by channel.

Some architectures norm the output of a half before they add it (Gemma-2 and 3, OLMo-2). The norm
undoes a part of any map in front of it. Its own gains stay linear, so they are fitted exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evop_deap.recovery.compensation import form_names
from evop_deap.recovery.compensation.fit import Fitted, Missing
from evop_deap.recovery.compensation.folding import with_gains
from evop_deap.recovery.compensation.hearing import Heard
from evop_deap.recovery.compensation.normal_equations import RIDGES, exact
from evop_deap.recovery.compensation.writer import Writer


class GainsFit:
    """The gains, and the offset where the norm has one, that bring states nearest the dense ones.

    Args:
        writer: a norm.
    """

    name = form_names.GAINS
    needs = 2

    def __init__(self, writer: Writer) -> None:
        self.writers: tuple[Writer, ...] = (writer,)
        self._tokens = 0
        self._sums = self._none()
        self._aside: list[tuple[torch.Tensor, Missing]] = []

    def add(self, heard: Sequence[Heard], missing: Missing, *, aside: bool) -> None:
        """Add tokens: inputs and outputs of the norm, and what is missing behind the cut."""
        said = exact(self.writers[0].share * heard[0].outputs)
        if aside:
            self._aside.append((said, missing))
        else:
            self._take_in(said, missing)

    @property
    def work(self) -> int:
        """Multiply-adds spent on the tokens so far."""
        return self._tokens * 2 * self.writers[0].outputs

    def solved(self) -> Fitted | None:
        """Return the changes, the ridge chosen by the tokens kept aside; None if singular."""
        found = [self._solution(ridge) for ridge in RIDGES]
        left = [self._remaining(*solution) for solution in found]
        best = min(range(len(RIDGES)), key=left.__getitem__)
        change, offset = found[best]
        if not bool(change.isfinite().all()):
            return None
        return Fitted(with_gains(self.writers[0], 1 + change, offset), left[best], RIDGES[best])

    def solved_with_all(self, fitted: Fitted) -> Fitted:
        """Return the same fit on all tokens, with those kept aside."""
        for said, missing in self._aside:
            self._take_in(said, missing)
        assert fitted.ridge is not None
        change, offset = self._solution(fitted.ridge)
        folded = with_gains(self.writers[0], 1 + change, offset)
        return Fitted(folded, fitted.remaining, fitted.ridge)

    def _none(self) -> torch.Tensor:
        return torch.zeros(5, self.writers[0].outputs, dtype=torch.float64)

    def _take_in(self, said: torch.Tensor, missing: Missing) -> None:
        """Add to the weighted sums of 1, y, e, y² and y·e of each channel."""
        errors, weights = exact(missing.errors), exact(missing.weights).square()[:, None]
        terms = [torch.ones_like(said), said, errors, said.square(), said * errors]
        self._sums = self._sums + torch.stack([(weights * t).sum(0) for t in terms]).cpu()
        self._tokens += len(said)

    def _solution(self, ridge: float) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the (width,) change of the gains, and the offset if the norm has one."""
        n, y, e, yy, ye = self._sums
        if self.writers[0].bias is None:
            return ye / (yy + ridge * yy.mean()), None
        spread, together = yy - y * y / n, ye - y * e / n
        change = together / (spread + ridge * spread.mean())
        return change, (e - change * y) / n / self.writers[0].share

    def _remaining(self, change: torch.Tensor, offset: torch.Tensor | None) -> float:
        moved = 0.0 if offset is None else offset * self.writers[0].share
        total = 0.0
        for said, missing in self._aside:
            step = change.to(said.device)
            shift = moved.to(said.device) if isinstance(moved, torch.Tensor) else moved
            left = exact(missing.errors) - said * step - shift
            total += float((exact(missing.weights)[:, None] * left).square().sum())
        return total
