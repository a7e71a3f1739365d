"""Standing in for blocks: another `forward` for the length of a `with`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from evop_deap.models.anatomy.probe import hidden_input


@contextmanager
def replaced_forward(blocks: Sequence[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Let `forward` answer for every one of `blocks`. May be nested."""
    # Only `forward` is replaced: a model's own loop reads other attributes of its blocks.
    # accelerate puts a `forward` of its own on the instance, which has to come back.
    replaced = [block.__dict__.get("forward") for block in blocks]
    try:
        for block in blocks:
            block.__dict__["forward"] = forward
        yield
    finally:
        for block, own in zip(blocks, replaced, strict=True):
            if own is None:
                del block.__dict__["forward"]
            else:
                block.__dict__["forward"] = own


def pass_through(output_items: int) -> Callable[..., Any]:
    """A block's `forward` that returns its input, as a block of this model returns its output."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        return block_output(hidden_input(args, kwargs), output_items)

    return forward


def block_output(hidden: torch.Tensor | None, output_items: int) -> Any:
    """`hidden` in a tuple of `output_items`, or as it is where there are none."""
    return (hidden, *[None] * (output_items - 1)) if output_items else hidden
