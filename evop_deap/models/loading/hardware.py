"""Which device to work on, and which number format multiplies fastest there without harm."""

from __future__ import annotations

import statistics
import time

import torch

from evop_deap.base.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str) -> torch.device:
    """The device of that name; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: no such device here.
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
            f"`device` must be 'auto' or a device of this machine such as 'cpu', "
            f"but got '{device}' ({str(error).splitlines()[0]})"
        ) from error
    if chosen.type == "meta":
        raise InputError("`device` must hold numbers, but got 'meta'")
    return chosen


def choose_dtype(dtype: str, stored: torch.dtype, device: torch.device) -> torch.dtype:
    """The number format of that name; "auto" is the fastest that keeps what is stored.

    A checkpoint in bfloat16 or float16 may also be computed in float32, which holds every
    number of either; nothing is ever made coarser than it is stored.

    Raises:
        InputError: no such format.
    """
    if dtype != "auto":
        if dtype not in DTYPES:
            raise InputError(f"`dtype` must be auto, {', '.join(DTYPES)}, but got '{dtype}'")
        return DTYPES[dtype]
    if stored not in (torch.bfloat16, torch.float16):
        return torch.float32
    # A plain float32 wins ties: it is as fast and finer.
    halved = _seconds_to_multiply(stored, device) < 0.9 * _seconds_to_multiply(
        torch.float32, device
    )
    return stored if halved else torch.float32


def _seconds_to_multiply(dtype: torch.dtype, device: torch.device, size: int = 768) -> float:
    """Median seconds of a matrix product about as large as a block's."""
    left = torch.full((size, size), 0.5, dtype=dtype, device=device)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        float((left @ left)[0, 0])  # waits for the device
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
