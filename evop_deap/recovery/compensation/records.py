"""What was done at a cut, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CutRecord:
    """What was done at a cut.

    Attributes:
        dropped: names of the units that go there.
        form: "full", "map", "gains" or "scale"; None where the cut is not compensated.
        layers: module paths of what was changed, as the dense model names them.
        reason: why it is no richer form, or none.
        ridge: chosen by the windows kept aside, as a share of an input's mean square.
        distance: from the dense states behind the cut, before and after, on the windows kept
            aside: root mean square over tokens, in shares of a state's length.
        loss: of the pruned model on these windows, before and after, in nats a token.
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
        """The record of which `as_dict` gave these values."""
        values = {field.name: plain[field.name] for field in dataclasses.fields(cls)}
        lists = ("dropped", "layers", "distance", "loss")
        tuples: dict[str, Any] = {name: tuple(values[name]) for name in lists}
        return cls(**{**values, **tuples})
