"""The fewest ordinary decoder layers that hold the halves which a pattern keeps.

A decoder layer is an attention half and the MLP half behind it. Where block i has lost its MLP
and a later block j its attention, with nothing kept between them, the attention of i and the MLP
of j follow each other as the halves of one layer do, and can be written as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Fits = Callable[[int, int], bool]
"""(i, j) -> whether the attention of block i may stand in one layer with the MLP of block j."""


@dataclass(frozen=True)
class Layer:
    """One physical layer, by the blocks of the dense model that its halves are from.

    Args:
        attention: Block whose attention half works in it; None when no attention does.
        mlp: Block whose MLP half works in it; None when no MLP does.

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
        """Whether both of its halves work."""
        return self.attention is not None and self.mlp is not None


def pack(live: Sequence[tuple[bool, bool]], fits: Fits = lambda i, j: True) -> tuple[Layer, ...]:
    """The shortest sequence of layers that computes the live halves in their order.

    The halves of a layer run right after each other, attention first. So a layer holds one live
    half, or an attention and the MLP that is the next live half. An attention has one next half
    and an MLP one half before it: such pairs never compete for a half, every pair that fits can
    be made whatever else is, and each saves one layer. Making all of them is the optimum.

    Args:
        live: Per block of the dense model whether its attention and whether its MLP is kept.
        fits: Which halves of different blocks one layer can express; those of the same block
            always fit.
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
    """The layers of which only one half works."""
    return tuple(layer for layer in layers if not layer.is_whole)
