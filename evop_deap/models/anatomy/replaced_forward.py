"""Temporary replacement of the `forward` of modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from evop_deap.models.anatomy.probe import hidden_input

Forward = Callable[..., Any]
"""A module's `forward`."""


@contextmanager
def replaced_forward(forwards: Mapping[nn.Module, Forward]) -> Iterator[None]:
    """In this context, each of these modules runs another `forward`. May be nested."""
    # Only `forward` is replaced, because a model's loop reads other attributes of its blocks.
    # accelerate sets a `forward` on the instance, which must be restored.
    before = {module: module.__dict__.get("forward") for module in forwards}
    try:
        for module, forward in forwards.items():
            module.__dict__["forward"] = forward
        yield
    finally:
        for module, own in before.items():
            if own is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = own


def pass_through(output_items: int) -> Forward:
    """Return a `forward` for a block that returns its input in the form of a block's output."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        return block_output(hidden_input(args, kwargs), output_items)

    return forward


def block_output(hidden: torch.Tensor | None, output_items: int) -> Any:
    """Return `hidden` as the first of `output_items` items; as it is if that is 0."""
    return (hidden, *[None] * (output_items - 1)) if output_items else hidden
