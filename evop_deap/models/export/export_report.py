"""What an export says of the checkpoint that it has written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evop_deap.base.formatting import mebibytes, millions


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Args:
        folder: Where the checkpoint is.
        layers: Physical layers of the written model.
        half_layers: Those of them of which only one half does anything.
        parameters: Elements that are stored, tied ones counted once.
        zeroed: Elements of halves that are stored and say nothing, a part of `parameters`.
        max_logit_difference: Largest absolute difference between the logits of the reloaded
            checkpoint and those of the model in memory with the dropped units bypassed.
        bytes: Size of all files in the folder.
    """

    folder: Path
    layers: int
    half_layers: int
    parameters: int
    zeroed: int
    max_logit_difference: float
    bytes: int

    @property
    def summary(self) -> str:
        """What was written, in one line."""
        half = f" ({self.half_layers} of one half)" if self.half_layers else ""
        zero = f", of which {millions(self.zeroed)} do nothing" if self.zeroed else ""
        return (
            f"{self.layers} layers{half}, {millions(self.parameters)} parameters{zero}, "
            f"{mebibytes(self.bytes)}; logits differ by {self.max_logit_difference:.3g}"
        )
