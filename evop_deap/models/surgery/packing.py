"""Packing of the halves that a pattern keeps into the fewest ordinary decoder layers.

A decoder layer is an attention half followed by an MLP half. If block i lost its MLP, a later
block j lost its attention, and nothing is kept between them, the attention of i and the MLP of j
are consecutive and can be written as one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Fits = Callable[[int, int], bool]
"""(i, j) -> whether the attention of block i and the MLP of block j can form one layer."""


@dataclass(frozen=True)
class Layer:
    """One physical layer, given by the blocks of the dense model that its halves come from.

    Args:
        attention: Block of its attention half; None if it has no effective attention.
        mlp: Block of its MLP half; None if it has no effective MLP.

    Example:
        >>> pack([(True, False), (False, True)])
        (Layer(attention=0, mlp=1),)
        >>> pack([(True, False), (True, True)])
        (Layer(attention=0, mlp=None), Layer(attention=1, mlp=1))
    """

    attention: int | None
    mlp: int | None

    @property
    def is_whole(self) -> bool:
        """Whether it has both halves."""
        return self.attention is not None and self.mlp is not None


def pack(live: Sequence[tuple[bool, bool]], fits: Fits = lambda i, j: True) -> tuple[Layer, ...]:
    """Return the shortest sequence of layers that computes the live halves in their order.

    A layer holds one live half, or an attention and the MLP that is the next live half. Every
    attention has one next half, and every MLP one previous half. So pairs never compete for a
    half, and each pair saves one layer. To form all pairs that fit is optimal.

    Args:
        live: For each block of the dense model, whether its attention and its MLP are kept.
        fits: Which halves of different blocks can form one layer; halves of one block always can.
    """
    halves = [
        (index, is_mlp)
        for index, kept in enumerate(live)
        for is_mlp, is_kept in enumerate(kept)
        if is_kept
    ]
    layers: list[Layer] = []
    for index, is_mlp in halves:
        before = layers[-1] if layers else None
        if not is_mlp:
            layers.append(Layer(attention=index, mlp=None))
        elif before and before.mlp is None and _fit(before.attention, index, fits):
            layers[-1] = Layer(attention=before.attention, mlp=index)
        else:
            layers.append(Layer(attention=None, mlp=index))
    return tuple(layers)


def _fit(attention: int | None, mlp: int, fits: Fits) -> bool:
    return attention is not None and (attention == mlp or fits(attention, mlp))


def leftovers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers with only one effective half."""
    return tuple(layer for layer in layers if not layer.is_whole)
