"""Losses of models on a text, and differences between them, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evop_deap.base.numbers import exponential, finite_or_none
from evop_deap.base.typed import Loss, Size


@dataclass(frozen=True)
class TextLoss:
    """Losses of the dense and the pruned model on one set of windows.

    Attributes:
        loss: mean nats per predicted token of the "dense" and the "pruned" model, and of the
            "compensated" one if there is one.
        tokens: number of predicted tokens.
        windows: number of windows.
        window: tokens of a window.
        fingerprint: hash of the windows' token ids.
    """

    loss: Mapping[str, Loss]
    tokens: Size
    windows: Size
    window: Size
    fingerprint: str

    def __post_init__(self) -> None:
        if self.loss.keys() - {"compensated"} != {"dense", "pruned"}:
            raise ValueError("loss must have those of the dense and the pruned model")

    @property
    def perplexity(self) -> dict[str, float]:
        """The exponential of the loss; infinite where that is too large for a float."""
        return {name: exponential(loss) for name, loss in self.loss.items()}

    @property
    def exported(self) -> float:
        """The perplexity of the model handed over: of the compensated one if there is one."""
        figures = self.perplexity
        return figures.get("compensated", figures["pruned"])

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


@dataclass(frozen=True)
class PairedLoss:
    """Loss of another pattern on one set of windows, and its difference from the pattern found.

    Attributes:
        loss: mean nats per predicted token of the other pattern.
        difference: mean over windows of the loss of the pattern found minus the other's, in nats
            per token; below 0 the pattern found is better. None where a loss is not finite.
        error: standard error of `difference`; None also for a single window.

    Example:
        >>> PairedLoss(loss=3.8, difference=-0.3, error=0.1).said
        '0.300 ± 0.100 nats a token better than'
    """

    loss: Loss
    difference: float | None
    error: float | None

    @property
    def perplexity(self) -> float:
        """The exponential of the loss; infinite where that is too large for a float."""
        return exponential(self.loss)

    @property
    def said(self) -> str:
        """The comparison as text, to be followed by the other's name."""
        if self.difference is None:
            return "not comparable in nats with"
        error = "" if self.error is None else f" ± {self.error:.3f}"
        which = "better" if self.difference < 0 else "worse"
        return f"{abs(self.difference):.3f}{error} nats a token {which} than"


@dataclass(frozen=True)
class Rival:
    """Another pattern, compared with the pattern found.

    Attributes:
        names: names of the heuristics that picked it; empty for the search's second best.
        dropped: names of the dropped units.
        calibration: comparison on the calibration windows.
        heldout: comparison on the held-out windows.
        compensated: whether both patterns are compensated, as the search does it.
    """

    names: tuple[str, ...]
    dropped: tuple[str, ...]
    calibration: PairedLoss
    heldout: PairedLoss
    compensated: bool = False

    @property
    def name(self) -> str:
        """The heuristics' names, or "the runner-up"."""
        return " and ".join(self.names) or "the runner-up"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is not finite becomes None."""
        texts = {"calibration": self.calibration, "heldout": self.heldout}
        return {
            "names": list(self.names),
            "dropped": list(self.dropped),
            "compensated": self.compensated,
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
