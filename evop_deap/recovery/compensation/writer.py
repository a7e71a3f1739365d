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
        share: what its output is multiplied by before it is added.
        kind: "linear"; "experts", the stacked last matrices of a mixture; or "gains", a norm.
        weight: its weights; of a norm those of its channels.
        axis: of `weight`, along which the outputs lie.
        bias: added behind the weights, its last axis the outputs; or None.
        offset: of a norm, what is added to its weights before they are used.
        feeder: of a norm by root mean square, the linear layer whose output it norms; or None.
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
        """Inputs of a linear layer; of others the outputs, which all that is fitted is made of."""
        return self.weight.shape[1 - self.axis] if self.kind == LINEAR else self.outputs

    @property
    def outputs(self) -> int:
        """The width of the residual stream."""
        return self.weight.shape[self.axis]
