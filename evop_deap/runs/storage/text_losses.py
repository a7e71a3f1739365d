"""How models do on a text, alone and beside each other, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evop_deap.base.numbers import exponential, finite_or_none, infinite_if_none


@dataclass(frozen=True)
class TextLoss:
    """How the dense and the pruned model do on one set of windows.

    Attributes:
        loss: mean nats per predicted token, under "dense" and "pruned".
        tokens: predicted tokens.
        windows: windows they stand in.
        window: tokens of a window.
        fingerprint: of the windows' token ids.
    """

    loss: Mapping[str, float]
    tokens: int
    windows: int
    window: int
    fingerprint: str

    @property
    def perplexity(self) -> dict[str, float]:
        """The exponential of the loss; infinite where that is too large for a float."""
        return {name: exponential(loss) for name, loss in self.loss.items()}

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is not finite becomes None."""
        figures = {"loss": self.loss, "perplexity": self.perplexity}
        return {
            **asdict(self),
            **{
                figure: {name: finite_or_none(value) for name, value in values.items()}
                for figure, values in figures.items()
            },
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TextLoss:
        """The losses of which `as_dict` gave these values."""
        values = {name: value for name, value in plain.items() if name != "perplexity"}
        values["loss"] = {name: infinite_if_none(v) for name, v in values["loss"].items()}
        return cls(**values)


@dataclass(frozen=True)
class Beside:
    """How another pattern does on one set of windows, and the one found beside it.

    Attributes:
        loss: of the other, mean nats per predicted token.
        difference: mean over windows of what the pattern found loses more, in nats per token:
            below 0 the one found is better. None where a loss is not finite.
        error: standard error of that mean; None, too, where one window tells nothing of it.

    Example:
        >>> Beside(loss=3.8, difference=-0.3, error=0.1).said
        '0.300 ± 0.100 nats a token better than'
    """

    loss: float
    difference: float | None
    error: float | None

    @property
    def perplexity(self) -> float:
        """The exponential of the loss; infinite where that is too large for a float."""
        return exponential(self.loss)

    @property
    def said(self) -> str:
        """How the pattern found does, for people: the other's name goes behind it."""
        if self.difference is None:
            return "not to be compared in nats with"
        error = "" if self.error is None else f" ± {self.error:.3f}"
        which = "better" if self.difference < 0 else "worse"
        return f"{abs(self.difference):.3f}{error} nats a token {which} than"


@dataclass(frozen=True)
class Rival:
    """A pattern that the one found is compared with.

    Attributes:
        names: of the rules that picked it; none where it is the search's own second best.
        dropped: names of the units that go.
        calibration: on the windows searched on.
        heldout: on the windows that the result is reported on.
    """

    names: tuple[str, ...]
    dropped: tuple[str, ...]
    calibration: Beside
    heldout: Beside

    @property
    def name(self) -> str:
        """What it is called."""
        return " and ".join(self.names) or "the runner-up"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is not finite becomes None."""
        texts = {"calibration": self.calibration, "heldout": self.heldout}
        return {
            "names": list(self.names),
            "dropped": list(self.dropped),
            **{
                name: {
                    "loss": finite_or_none(beside.loss),
                    "perplexity": finite_or_none(beside.perplexity),
                    "difference": beside.difference,
                    "error": beside.error,
                }
                for name, beside in texts.items()
            },
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Rival:
        """The rival of which `as_dict` gave these values.

        Raises:
            KeyError: one is missing.
        """
        calibration, heldout = (
            Beside(infinite_if_none(text["loss"]), text["difference"], text["error"])
            for text in (plain["calibration"], plain["heldout"])
        )
        return cls(tuple(plain["names"]), tuple(plain["dropped"]), calibration, heldout)
