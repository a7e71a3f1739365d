"""The memory that each way to hold a model's weights takes, and whether it is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.formatting import mebibytes
from evop_deap.models.anatomy.quantisation import is_quantised, plain_tensors
from evop_deap.models.loading.hardware import WEIGHTS_SHARE
from evop_deap.models.loading.precision import dtype_of
from evop_deap.models.loading.shards import stored_in
from evop_deap.models.loading.weights_place import RESIDENT, STREAMED, why_not_streamed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel

_HEAD_ROWS = 8192  # of the head in a tile, at the most
_AT_ONCE = 2  # blocks or tiles in memory: one is used while the next one is read


@dataclass(frozen=True)
class WayToHold:
    """One way to hold the weights.

    Attributes:
        weights: "resident" or "streamed".
        dtype: dtype to compute in.
        bytes: what the weights take in memory.
        fits: whether that is at most 80 % of the free memory.
        obstacle: why it is not possible, and what would do; None if it is.
    """

    weights: str
    dtype: str
    bytes: int
    fits: bool
    obstacle: str | None = None


@dataclass(frozen=True)
class WeightsNeeds:
    """What the weights of a model take in memory.

    Attributes:
        free: bytes of memory that were free before the model was loaded.
        ways: the ways to hold them.
    """

    free: int
    ways: tuple[WayToHold, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return lines for a terminal."""
        rows = [f"memory for the weights, of {mebibytes(self.free)} that are free:"]
        for way in self.ways:
            flags = f"--weights {way.weights} --dtype {way.dtype}"
            says = way.obstacle or ("fits" if way.fits else "does not fit")
            takes = "-" if way.obstacle else mebibytes(way.bytes)
            rows.append(f"  {flags:<36}{takes:>14}  {says}")
        return rows


def weights_needs(
    loaded: LoadedModel, anatomy: Anatomy, free: int, devices: Sequence[torch.device]
) -> WeightsNeeds:
    """Return what each way to hold the weights of a model takes.

    Args:
        loaded: the model.
        anatomy: its blocks.
        free: bytes of memory that were free before it was loaded.
        devices: where it is to run.
    """
    model = loaded.model
    if is_quantised(model):
        takes = [(RESIDENT, dtype_of(model), _held(model)), (STREAMED, dtype_of(model), 0)]
    else:
        counts = ((RESIDENT, sum(p.numel() for p in model.parameters())), (STREAMED, _two(anatomy)))
        dtypes = dict.fromkeys((torch.float32, loaded.stored_dtype, dtype_of(model)))
        takes = [(held, t, count * t.itemsize) for held, count in counts for t in dtypes]
    return WeightsNeeds(free, tuple(_way(loaded, *one, free, devices) for one in takes))


def _two(anatomy: Anatomy) -> int:
    """Return the elements of the largest two blocks or tiles of the head that are in memory."""
    head: Any = anatomy.head
    rows, width = head.weight.shape
    tile: int = min(_HEAD_ROWS, rows) * width
    return _AT_ONCE * max(tile, *(block.parameters for block in anatomy.blocks))


def _held(model: PreTrainedModel) -> int:
    """Return the bytes of the tensors of a quantised model, packed as they are."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return sum(part.nbytes for one in tensors for _, part in plain_tensors(*one))


def _way(
    loaded: LoadedModel,
    weights: str,
    dtype: torch.dtype,
    size: int,
    free: int,
    devices: Sequence[torch.device],
) -> WayToHold:
    obstacle = None
    if weights == STREAMED:
        where = {"pretrained_model_name_or_path": loaded.name}
        where |= {"gguf_file": loaded.name} if loaded.name.endswith(".gguf") else {}
        obstacle = why_not_streamed(
            {} if loaded.files is None else stored_in(loaded.files),
            where,
            loaded.model.config,
            loaded.stored_dtype,
            dtype,
            devices,
            loaded.beside.text_only,
        )
    fits = obstacle is None and size <= WEIGHTS_SHARE * free
    return WayToHold(weights, str(dtype).removeprefix("torch."), size, fits, obstacle)
