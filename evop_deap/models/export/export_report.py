"""The report of an export on the checkpoint that it has written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evop_deap.base.formatting import counted, mebibytes, millions


@dataclass(frozen=True)
class ExportReport:
    """Facts about a written checkpoint.

    Args:
        folder: Folder of the checkpoint.
        layers: Number of physical layers.
        half_layers: Number of layers in which only one half has an effect.
        parameters: Number of stored elements, tied ones counted once.
        zeroed: Number of them in halves with zero output.
        max_logit_difference: Largest absolute difference between the logits of the reloaded
            checkpoint and those of the model in memory with the dropped units bypassed.
        bytes: Total size of the files in the folder.
        left_out: What is in the dense checkpoint but not in this one.
        compensation: Outcome of compensation; empty without it.
    """

    folder: Path
    layers: int
    half_layers: int
    parameters: int
    zeroed: int
    max_logit_difference: float
    bytes: int
    left_out: tuple[str, ...] = ()
    compensation: str = ""

    @property
    def summary(self) -> str:
        """The facts in one line."""
        half = f" ({self.half_layers} of one half)" if self.half_layers else ""
        zero = f", of which {millions(self.zeroed)} do nothing" if self.zeroed else ""
        made = f"; {self.compensation}" if self.compensation else ""
        less = "".join(f"; left out: {said}" for said in self.left_out)
        return (
            f"{counted(self.layers, 'layer')}{half}, {millions(self.parameters)} parameters{zero}, "
            f"{mebibytes(self.bytes)}; logits differ by {self.max_logit_difference:.3g}{made}{less}"
        )
