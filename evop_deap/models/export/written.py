"""Facts about weights that were written."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Written:
    """Facts about the weights that were written.

    Attributes:
        layers: number of layers.
        half_layers: number of layers in which only one half has an effect.
        parameters: number of elements, tied ones counted once.
        zeroed: number of them in halves with zero output.
        dtype: their dtype.
    """

    layers: int
    half_layers: int
    parameters: int
    zeroed: int
    dtype: torch.dtype
