"""A writer: a layer whose output is added to the hidden state, as it is or times a constant.

A change of its output changes the state behind the block by as much. Its weights can take up any
change that is linear in its inputs or its outputs, and the checkpoint stays an ordinary one.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

LINEAR, EXPERTS, GAINS = "linear", "experts", "gains"


@dataclass(frozen=True, eq=False)
class Writer:
    """A layer that writes to the residual stream.

    Attributes:
        name: module path.
        module: the layer.
        share: constant that its output is multiplied by before it is added.
        kind: "linear"; "experts", the stacked last matrices of a mixture; or "gains", a norm.
        weight: its matrix, or a norm's weights by channel.
        axis: axis of the outputs in `weight`.
        bias: its bias, with the outputs along the last axis; or None.
        offset: number that a norm adds to its weights.
        feeder: the linear layer right before a norm by root mean square; or None.
    """

    name: str
    module: nn.Module
    share: float
    kind: str
    weight: nn.Parameter
    axis: int
    bias: nn.Parameter | None
    offset: float = 0.0
    feeder: Writer | None = None

    @property
    def inputs(self) -> int:
        """Inputs of a linear layer; for others the outputs, because they are fitted on them."""
        return self.weight.shape[1 - self.axis] if self.kind == LINEAR else self.outputs

    @property
    def outputs(self) -> int:
        """The width of the residual stream."""
        return self.weight.shape[self.axis]
