"""The latency of each unit of a model on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.models.anatomy.devices import devices_of
from evop_deap.models.anatomy.parts import Anatomy, Part, silenced
from evop_deap.models.anatomy.probe import removable_hooks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

_PASSES = 5  # for the median, after one warm-up pass


def unit_milliseconds(
    model: PreTrainedModel, anatomy: Anatomy, window: NDArray[np.int64]
) -> tuple[tuple[float, ...], float]:
    """Return the milliseconds of each unit in a pass over one window, and those of the rest.

    Every block is timed. The time of its last part is the difference that bypassing this part
    makes; the time of the part before it is the further difference without both, and so on.

    Args:
        model: the dense model.
        anatomy: its units.
        window: (length,) token ids.

    Returns:
        (units,) milliseconds, and those of embedding, final norm and head.
    """
    left, whole = _timed(model, anatomy, window, ())
    rest = max(0.0, whole - sum(left))
    parts = [anatomy.parts_of(block) for block in anatomy.blocks]
    times: dict[str, float] = {}
    for place in range(max(map(len, parts)) - 1, 0, -1):
        without, _ = _timed(model, anatomy, window, [p for some in parts for p in some[place:]])
        for index, some in enumerate(parts):
            if place < len(some):
                less = min(without[index], left[index])
                times[some[place].name], left[index] = left[index] - less, less
    times |= {some[0].name: took for some, took in zip(parts, left, strict=True)}
    return tuple(times[part.name] for part in anatomy.parts), rest


def _timed(
    model: PreTrainedModel, anatomy: Anatomy, window: NDArray[np.int64], gone: Sequence[Part]
) -> tuple[list[float], float]:
    """Return the median milliseconds of each block without these parts, and of the whole pass."""
    tokens, devices = torch.as_tensor(window, device=model.device)[None], devices_of(anatomy)
    began = [0.0] * len(anatomy.blocks)
    took: list[list[float]] = [[] for _ in anatomy.blocks]
    passes = []

    def begin(index: int) -> Any:
        def hook(*_: Any) -> None:
            began[index] = _now(devices)

        return hook

    def end(index: int) -> Any:
        def hook(*_: Any) -> None:
            took[index].append(1e3 * (_now(devices) - began[index]))

        return hook

    with removable_hooks() as handles, silenced(gone), torch.inference_mode():
        for place, block in enumerate(anatomy.blocks):
            handles.append(block.module.register_forward_pre_hook(begin(place)))
            handles.append(block.module.register_forward_hook(end(place)))
        for _ in range(1 + _PASSES):
            start = _now(devices)
            model(input_ids=tokens, use_cache=False)
            passes.append(1e3 * (_now(devices) - start))
    return [median(times[1:]) for times in took], median(passes[1:])


def _now(devices: Sequence[torch.device]) -> float:
    """Return the time in seconds after the devices have finished their work."""
    for device in devices:
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
    return time.perf_counter()
