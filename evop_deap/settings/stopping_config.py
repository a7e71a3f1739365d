"""The settings that end a search."""

from __future__ import annotations

from dataclasses import dataclass

from evop_deap.evolution.stopping import Stopping
from evop_deap.settings.options import Settings, option
from evop_deap.settings.switched_off import count_or_off, number_or_off

STOPPING = "when to stop (at the first limit reached; heuristics that do not search ignore limits)"


@dataclass(frozen=True, kw_only=True)
class StoppingConfig(Settings):
    """The limits of a search, and the confidence at which it ends by itself."""

    generations: int | None = option(
        60,
        STOPPING,
        "generations after the first population",
        metavar="N|off",
        read=count_or_off,
        least=0,
    )
    max_evaluations: int | None = option(None, STOPPING, "patterns evaluated", metavar="N", least=1)
    max_cost: float | None = option(
        None,
        STOPPING,
        "cost, in forward passes of the dense model over the calibration set",
        metavar="COST",
        above=0,
    )
    max_seconds: float | None = option(None, STOPPING, "time spent searching", metavar="S", above=0)
    patience: int | None = option(
        None, STOPPING, "generations in a row without a better pattern", metavar="N", least=1
    )
    stop_when_sure: float | None = option(
        0.95,
        STOPPING,
        "stop when the surrogate has this confidence that no pattern within reach is better by "
        "more than calibration text can tell apart; off switches the rule off",
        metavar="P|off",
        read=number_or_off,
        least=0.5,
        below=1,
    )

    @property
    def stopping(self) -> Stopping:
        """The limits of the search."""
        return Stopping(
            generations=self.generations,
            evaluations=self.max_evaluations,
            cost=self.max_cost,
            seconds=self.max_seconds,
            patience=self.patience,
            sure=self.stop_when_sure,
        )
