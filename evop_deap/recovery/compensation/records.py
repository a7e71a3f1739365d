"""The outcome of compensation at a cut, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    distance: tuple[float, float]
    loss: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {n: list(v) if isinstance(v, tuple) else v for n, v in vars(self).items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> CutRecord:
        """Return the record that `as_dict` made these values from."""
        values = {field.name: plain[field.name] for field in dataclasses.fields(cls)}
        lists = ("dropped", "layers", "distance", "loss")
        tuples: dict[str, Any] = {name: tuple(values[name]) for name in lists}
        return cls(**{**values, **tuples})
