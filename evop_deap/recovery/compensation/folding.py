"""Changes of a writer's output, folded into its weights.

Each is exact: the changed layer computes the changed output. Values are in float64 until stored.
"""

from __future__ import annotations

import torch
from torch import nn

from evop_deap.models.loading.put_together import whole
from evop_deap.recovery.compensation.normal_equations import exact
from evop_deap.recovery.compensation.writer import Writer

Folded = dict[nn.Parameter, torch.Tensor]
"""New values of a writer's weights, in float64."""


def with_matrix(writer: Writer, change: torch.Tensor, offset: torch.Tensor | None = None) -> Folded:
    """Return the weights of a linear layer plus a matrix.

    Args:
        writer: a linear layer.
        change: (inputs, outputs), added to its matrix.
        offset: (outputs,), added to its bias.
    """
    weight = exact(whole(writer.weight.data))
    step = exact(change).to(weight.device)
    return {writer.weight: weight + (step if writer.axis else step.T), **_moved(writer, offset)}


def with_map(writer: Writer, change: torch.Tensor, offset: torch.Tensor | None = None) -> Folded:
    """Return the weights of a layer whose output y becomes y + y·change + offset.

    Args:
        writer: a linear layer, or experts, which all take the same map.
        change: (outputs, outputs).
        offset: (outputs,); experts take none.
    """
    weight = exact(whole(writer.weight.data))
    step = exact(change).to(weight.device)
    turned = weight.movedim(writer.axis, -1)
    folded: Folded = {writer.weight: (turned @ step).add_(turned).movedim(-1, writer.axis)}
    if writer.bias is not None:
        bias = exact(writer.bias.data)
        folded[writer.bias] = bias + bias @ step
        if offset is not None:
            folded[writer.bias] = folded[writer.bias] + offset.to(weight.device)
    return folded


def with_gains(writer: Writer, gains: torch.Tensor, offset: torch.Tensor | None = None) -> Folded:
    """Return the weights of a layer whose output is multiplied channel by channel.

    Args:
        writer: any writer.
        gains: (outputs,), or one number for all channels.
        offset: (outputs,), added after that.
    """
    weight = exact(whole(writer.weight.data))
    factors = exact(gains).to(weight.device).expand(writer.outputs)
    shape = [1] * weight.ndim
    shape[writer.axis] = -1
    values = (weight + writer.offset) * factors.reshape(shape) - writer.offset
    folded: Folded = {writer.weight: values}
    if writer.bias is not None:
        folded[writer.bias] = exact(writer.bias.data) * factors
        if offset is not None:
            folded[writer.bias] = folded[writer.bias] + offset.to(weight.device)
    return folded


def _moved(writer: Writer, offset: torch.Tensor | None) -> Folded:
    if offset is None or writer.bias is None:
        return {}
    return {writer.bias: exact(writer.bias.data) + offset.to(writer.bias.device)}
