"""Standing in for modules: another `forward` for the length of a `with`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from evop_deap.models.anatomy.probe import hidden_input

Forward = Callable[..., Any]
"""What a module does when it is called."""


@contextmanager
def replaced_forward(forwards: Mapping[nn.Module, Forward]) -> Iterator[None]:
    """Let each of these modules answer with another `forward`. May be nested."""
    # Only `forward` is replaced: a model's own loop reads other attributes of its blocks.
    # accelerate puts a `forward` of its own on the instance, which has to come back.
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
    """A block's `forward` that returns its input, as a block of this model returns its output."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        return block_output(hidden_input(args, kwargs), output_items)

    return forward


def block_output(hidden: torch.Tensor | None, output_items: int) -> Any:
    """`hidden` in a tuple of `output_items`, or as it is where there are none."""
    return (hidden, *[None] * (output_items - 1)) if output_items else hidden
