"""How long each unit of a model takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Collection
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.models.anatomy.probe import removable_hooks
from evop_deap.models.surgery.bypass import bypassed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.find_anatomy import Anatomy

_PASSES = 5  # of which the median counts, after one that warms up


def unit_milliseconds(
    model: PreTrainedModel, anatomy: Anatomy, window: NDArray[np.int64]
) -> tuple[tuple[float, ...], float]:
    """Milliseconds that each unit takes in a pass over one window, and what is left of the pass.

    Every block is timed by itself. An MLP half takes what its block takes less when it is
    bypassed, and the attention half the rest.

    Args:
        model: the dense model.
        anatomy: its units.
        window: (length,) token ids.

    Returns:
        (units,) milliseconds, and those of embedding, final norm and head.
    """
    blocks, whole = _timed(model, anatomy, window, ())
    rest = max(0.0, whole - sum(blocks))
    if anatomy.granularity == "block":
        return tuple(blocks), rest
    mlps = [2 * index + 1 for index in range(len(blocks))]
    without, _ = _timed(model, anatomy, window, mlps)
    pairs = ((min(a, both), both) for a, both in zip(without, blocks, strict=True))
    return tuple(part for a, both in pairs for part in (a, both - a)), rest


def _timed(
    model: PreTrainedModel, anatomy: Anatomy, window: NDArray[np.int64], dropped: Collection[int]
) -> tuple[list[float], float]:
    """Median milliseconds of each block, and of the whole pass."""
    tokens = torch.as_tensor(window, device=model.device)[None]
    began = [0.0] * len(anatomy.blocks)
    took: list[list[float]] = [[] for _ in anatomy.blocks]
    passes = []

    def begin(index: int) -> Any:
        def hook(*_: Any) -> None:
            began[index] = _now(model.device)

        return hook

    def end(index: int) -> Any:
        def hook(*_: Any) -> None:
            took[index].append(1e3 * (_now(model.device) - began[index]))

        return hook

    with removable_hooks() as handles, bypassed(anatomy, dropped), torch.inference_mode():
        for place, block in enumerate(anatomy.blocks):
            handles.append(block.module.register_forward_pre_hook(begin(place)))
            handles.append(block.module.register_forward_hook(end(place)))
        for _ in range(1 + _PASSES):
            start = _now(model.device)
            model(input_ids=tokens, use_cache=False)
            passes.append(1e3 * (_now(model.device) - start))
    return [median(times[1:]) for times in took], median(passes[1:])


def _now(device: torch.device) -> float:
    """Seconds, once the device has done all it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()
