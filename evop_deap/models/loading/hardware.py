"""The choice of devices, and of the fastest dtype on them that loses no precision."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Sequence
from typing import Any

import torch

from evop_deap.base.errors import InputError

WEIGHTS_SHARE = 0.8  # of free memory that weights may take
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_devices(device: str) -> tuple[torch.device, ...]:
    """Return the devices of these names, with commas between; see `choose_device`.

    Raises:
        InputError: this machine has no such devices, or one is named twice.
    """
    chosen = tuple(choose_device(name) for name in device.split(","))
    kinds, numbers = {one.type for one in chosen}, {one.index for one in chosen}
    if len(chosen) > 1 and (len(kinds) > 1 or None in numbers or len(numbers) < len(chosen)):
        raise InputError(
            f"`device` must name devices of one kind by their numbers, such as 'cuda:0,cuda:1', "
            f"but got '{device}'"
        )
    return chosen


def enough_of(chosen: tuple[torch.device, ...], needed: int) -> tuple[torch.device, ...]:
    """Return the chosen devices; of several on CUDA, as many as hold weights of `needed` bytes."""
    if chosen[0].type != "cuda":
        return chosen
    free = [free_memory(torch.device("cuda", n)) for n in range(torch.cuda.device_count())]
    count = holding(free, needed)
    return chosen if count == 1 else tuple(torch.device("cuda", n) for n in range(count))


def holding(free: Sequence[int], needed: int) -> int:
    """Return how many devices, from the first, hold weights of `needed` bytes; all if none do.

    Args:
        free: (devices,) bytes of free memory.
        needed: bytes.

    Example:
        >>> holding([10, 10, 10], 7), holding([10, 10, 10], 9), holding([10, 10, 10], 99)
        (1, 2, 3)
    """
    counts = range(1, len(free) + 1)
    return next((n for n in counts if needed <= WEIGHTS_SHARE * sum(free[:n])), len(free))


def choose_device(device: str) -> torch.device:
    """Return the device of that name; "auto" is CUDA, else MPS, else the CPU.

    Raises:
        InputError: this machine has no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"`device` must be 'auto' or a device of this machine such as 'cpu', or several such "
            f"as 'cuda:0,cuda:1', "
            f"but got '{device}' ({str(error).splitlines()[0]})"
        ) from error
    if chosen.type == "meta":
        raise InputError("`device` must hold numbers, but got 'meta'")
    return chosen


def free_memory(device: torch.device) -> int:
    """Return how many bytes of memory a device has left."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    psutil: Any = importlib.import_module("psutil")  # it has no types
    return int(psutil.virtual_memory().available)


def choose_dtype(dtype: str, stored: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype of that name; "auto" is the fastest that holds the stored values.

    A bfloat16 or float16 checkpoint may also be computed in float32, which represents all of
    its values. No dtype of lower precision than the stored one is chosen.

    Raises:
        InputError: there is no such dtype.
    """
    if dtype != "auto":
        if dtype not in DTYPES:
            raise InputError(f"`dtype` must be auto, {', '.join(DTYPES)}, but got '{dtype}'")
        return DTYPES[dtype]
    if stored not in (torch.bfloat16, torch.float16):
        return torch.float32
    # float32 wins ties: it is as fast and more precise.
    narrow, wide = _seconds_to_multiply((stored, torch.float32), device)
    return stored if narrow < 0.9 * wide else torch.float32


def _seconds_to_multiply(
    dtypes: Sequence[torch.dtype], device: torch.device, size: int = 768
) -> list[float]:
    """Return the least seconds of a matrix product of about the size of a block's, by dtype.

    The dtypes take turns and the least counts, so that other work on the machine does not decide.
    """
    factors = [torch.full((size, size), 0.5, dtype=dtype, device=device) for dtype in dtypes]
    seconds = [math.inf] * len(factors)
    for _ in range(15):
        for place, factor in enumerate(factors):
            began = time.perf_counter()
            float((factor @ factor)[0, 0])  # waits for the device
            seconds[place] = min(seconds[place], time.perf_counter() - began)
    return seconds
