"""The two ends of a model whose weights stay in their files: its embedding and its head.

They may be larger than several blocks. So a call reads only the rows of the embedding that it
needs, and one tile of the head after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import nn

from evop_deap.models.loading.called_weights import replaces_itself
from evop_deap.models.loading.mapped_pages import MappedPages

_ROWS = 8192  # of the head in a tile


class Tiles(Protocol):
    """Reads matrices in parts."""

    def tiles(self, matrix: torch.Tensor, rows: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the rows of a stored matrix in parts, with the number of the first row of each."""
        ...


def read_rows_alone(
    embedding: nn.Module, dtype: torch.dtype, device: torch.device, pages: MappedPages
) -> None:
    """From now on, a call of an embedding reads only the rows that it needs, as `dtype` or wider.

    It runs on `device`.

    In a call, its weight is the table of these rows and the ids count them. Whatever else the
    module does with the rows, such as a multiplication, stays as it is. An embedding of another
    class than PyTorch's stays as it is.
    """
    if not isinstance(embedding, nn.Embedding):
        return
    before: list[tuple[torch.Tensor, int | None]] = []

    def narrow(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not args:
            return None
        ids, places = torch.unique(args[0].cpu(), return_inverse=True)
        table = embedding.weight.data
        before.append((table, embedding.padding_idx))
        wide = torch.promote_types(table.dtype, dtype)
        embedding.weight.data = table[ids].to(device, wide)
        embedding.padding_idx = None  # it matters to gradients alone
        pages.let_go(table)
        return (places.to(device), *args[1:])

    def restore(*_: Any) -> None:
        if before:
            embedding.weight.data, embedding.padding_idx = before.pop()

    embedding.register_forward_pre_hook(narrow, prepend=True)
    embedding.register_forward_hook(restore, always_call=True)


def read_in_tiles(head: nn.Module, reader: Tiles) -> None:
    """From now on, a head is read one tile of rows after the other when it is called.

    A head of another class than PyTorch's stays as it is.
    """
    if type(head) is not nn.Linear:
        return
    linear: Any = head

    def forward(features: torch.Tensor) -> torch.Tensor:
        weight, bias = linear.weight.detach(), linear.bias
        products = []
        for first, part in reader.tiles(weight, _ROWS):
            products.append(nn.functional.linear(features, part.to(features.dtype)))
            if bias is not None:
                products[-1] += bias[first : first + len(part)].to(features.device)
        return torch.cat(products, dim=-1)

    head.__dict__["forward"] = forward
    replaces_itself(head)
