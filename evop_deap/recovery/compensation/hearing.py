"""Recording the inputs and outputs of writers while their block runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from evop_deap.models.anatomy.probe import first_tensor, hidden_input, removable_hooks
from evop_deap.models.loading.precision import widened


@dataclass(frozen=True, eq=False)
class Heard:
    """Inputs and outputs of a writer, one row per token.

    Attributes:
        inputs: (tokens, inputs).
        outputs: (tokens, outputs).
    """

    inputs: torch.Tensor
    outputs: torch.Tensor

    def of(self, rows: torch.Tensor) -> Heard:
        """Return the tokens at which `rows`, (tokens,) booleans, is true."""
        return Heard(self.inputs[rows], self.outputs[rows])


@contextmanager
def hearing(writers: Collection[nn.Module]) -> Iterator[dict[nn.Module, Heard]]:
    """In this context, record each module's inputs and outputs in the latest run of its block."""
    heard: dict[nn.Module, Heard] = {}

    def after(module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
        given, made = hidden_input(args, kwargs), first_tensor(output)
        assert given is not None
        assert made is not None
        # Copies, because later modules may work in place.
        heard[module] = Heard(*(widened(_rows(tensor).clone()) for tensor in (given, made)))

    with removable_hooks() as handles:
        for writer in writers:
            handles.append(writer.register_forward_hook(after, with_kwargs=True))
        yield heard


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.flatten(0, -2)
