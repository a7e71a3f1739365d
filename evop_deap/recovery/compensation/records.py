"""The outcome of compensation at a cut, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evop_deap.base.numbers import finite_or_none
from evop_deap.base.typed import Loss


@dataclass(frozen=True)
class CutRecord:
    """The outcome at a cut.

    Attributes:
        dropped: names of the units dropped there.
        form: "full", "map", "gains" or "scale"; None if the cut is not compensated.
        layers: module paths of the changed layers in the dense model.
        reason: why no richer form was taken, or none; "" if the richest was.
        ridge: the chosen ridge; None for a form without one.
        distance: distance to the dense states behind the cut, before and after, on the windows
            kept aside: root mean square over tokens, as a share of a state's length.
        loss: loss of the pruned model on these windows, before and after, in nats a token.
    """

    dropped: tuple[str, ...]
    form: str | None
    layers: tuple[str, ...]
    reason: str
    ridge: float | None
    distance: tuple[Loss, Loss]
    loss: tuple[Loss, Loss]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is not finite becomes None."""
        figures = {"distance": self.distance, "loss": self.loss}
        return {
            **vars(self),
            "dropped": list(self.dropped),
            "layers": list(self.layers),
            **{name: [finite_or_none(v) for v in both] for name, both in figures.items()},
        }
