"""Runs of a model on a few tokens, to observe its modules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import UnsupportedModelError, one_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Short, so that even a small sliding window covers several tokens.
PROBE_TOKENS = 5


def probe_tokens(model: PreTrainedModel, length: int = PROBE_TOKENS) -> torch.Tensor:
    """Return a fixed row of valid token ids, spread over the vocabulary: (1, length)."""
    table = embedding_table(model)
    ids = (torch.arange(1, length + 1) * 7919) % table.shape[0]
    # accelerate takes ids to the device of an embedding whose weights it keeps elsewhere.
    return ids.unsqueeze(0).to("cpu" if table.device.type == "meta" else table.device)


def embedding_table(model: PreTrainedModel) -> torch.Tensor:
    """Return the token embeddings: (vocabulary, width)."""
    embeddings: Any = model.get_input_embeddings()
    table: torch.Tensor = embeddings.weight
    return table


def run_forward(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Return the logits of a pass over token ids without a cache: (rows, length, vocabulary).

    Raises:
        UnsupportedModelError: the model does not run on token ids alone.
    """
    try:
        with torch.no_grad():
            logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    except torch.OutOfMemoryError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        reason = one_line(e)
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot be run on token ids alone: {reason}"
        ) from e
    return logits


def first_tensor(output: Any) -> torch.Tensor | None:
    """Return the hidden state of a module's output: the tensor itself or a tuple's first item."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def hidden_input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """Return the hidden state in a call's arguments: `hidden_states`, or the first float tensor."""
    key = hidden_key(args, kwargs)
    if key is None:
        return None
    value: torch.Tensor = args[key] if isinstance(key, int) else kwargs[key]
    return value


def hidden_key(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | str | None:
    """Return the position or keyword of the hidden state in a call's arguments, or None."""
    for position, value in enumerate(args):
        if _is_hidden(value):
            return position
    if _is_hidden(kwargs.get("hidden_states")):
        return "hidden_states"
    return next((key for key, value in kwargs.items() if _is_hidden(value)), None)


def _is_hidden(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim >= 2


def nearly_equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Return whether two tensors are equal up to rounding.

    Rounding differs, for example, if an expert gets another batch of tokens.
    """
    tolerance = math.sqrt(torch.finfo(left.dtype).eps)
    scale = float(left.float().abs().max())
    return float((left.float() - right.float()).abs().max()) <= tolerance * scale


@contextmanager
def removable_hooks() -> Iterator[list[Any]]:
    """Provide a list for hook handles, and remove them all at the end."""
    handles: list[Any] = []
    try:
        yield handles
    finally:
        for handle in handles:
            handle.remove()
