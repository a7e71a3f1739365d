"""The memory that a model will take, known before it is loaded, and the memory that is free."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.formatting import mebibytes
from evop_deap.models.loading.hardware import free_memory

if TYPE_CHECKING:
    import torch

# As transformers looks for them; beside them can lie files that it does not read.
_WEIGHTS = (
    *("model.safetensors", "model*-of-*.safetensors", "*.safetensors"),
    "pytorch_model*.bin",
)
_GROUP = Path("/sys/fs/cgroup")


def memory_told(
    folder: Path, stored: torch.dtype, dtype: torch.dtype, *devices: torch.device
) -> str | None:
    """Return a line on what the weights will take and what is free; None without weights.

    Args:
        folder: the checkpoint.
        stored: dtype of the checkpoint.
        dtype: dtype to load.
        devices: where the model goes.
    """
    size = weights_size(folder)
    if not size:
        return None
    # A checkpoint that is written has the stored dtype again, which is a copy.
    needed = size * dtype.itemsize // stored.itemsize + (size if dtype is not stored else 0)
    free = allowed_memory(*devices)
    less = "; this may not fit" if needed > free else ""
    return f"its weights take about {mebibytes(needed)}, and {mebibytes(free)} are free{less}"


def weights_size(folder: Path) -> int:
    """Return the bytes of the weights in a folder; of several formats, those of the first."""
    return sum(file.stat().st_size for file in weights_in(folder))


def weights_in(folder: Path) -> list[Path]:
    """Return the files that a model is loaded from, sorted; of several formats, the first."""
    found = (sorted(folder.glob(kind)) for kind in _WEIGHTS)
    return next((files for files in found if files), [])


def allowed_memory(*devices: torch.device) -> int:
    """Return the bytes that this process may still take on devices of one kind."""
    if devices[0].type == "cuda":
        return sum(map(free_memory, devices))
    return min([free_memory(devices[0]), *_of_limits(), *_of_group()])


def _of_limits() -> list[int]:
    """Return what a limit of the address space leaves."""
    if sys.platform == "win32":
        return []
    import resource

    psutil: Any = importlib.import_module("psutil")  # it has no types
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = int(psutil.Process().memory_info().vms)
    return [] if limit == resource.RLIM_INFINITY else [max(0, limit - used)]


def _of_group() -> list[int]:
    """Return what the limit of a container leaves."""
    try:
        limit, used = (
            int((_GROUP / name).read_text(encoding="ascii"))
            for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):  # there is no such file, or no limit
        return []
    return [max(0, limit - used)]
