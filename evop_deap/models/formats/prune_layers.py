"""The argument of `llama-quantize --prune-layers` in llama.cpp: block numbers with commas."""

from __future__ import annotations

from evop_deap.models.formats.drops import Drops


def prune_layers(drops: Drops) -> str:
    """Return the dropped blocks as in `llama-quantize --prune-layers 3,7,11 in.gguf out.gguf F16`.

    Raises:
        InputError: only half of a block is dropped.
    """
    return ",".join(str(index) for index in drops.whole("--prune-layers"))
