"""The weights and the configuration of a pruned model, written from memory or from files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.quantisation import is_quantised
from evop_deap.models.export.blocks_in_files import blocks_in_files
from evop_deap.models.export.changed_in_files import changed_in_files
from evop_deap.models.export.checkpoint_checks import narrow
from evop_deap.models.export.quantised_weights import write_quantised
from evop_deap.models.export.written import Written
from evop_deap.models.export.written_shards import write_shards
from evop_deap.models.loading.precision import say_dtype
from evop_deap.models.loading.put_together import whole
from evop_deap.models.surgery.packed_layers import packed_layers
from evop_deap.models.surgery.packing import leftovers
from evop_deap.models.surgery.repacking import empty_repacked, repacked

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def write_weights(
    model: PreTrainedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    folder: Path,
    stored_dtype: torch.dtype,
    files: Path | None,
    changed: Collection[nn.Parameter] = (),
) -> Written:
    """Write the weights and the configuration, and keep nothing of the pruned model.

    Args:
        model: the dense model.
        anatomy: its anatomy.
        dropped: positions of the units to leave out.
        folder: where to write.
        stored_dtype: dtype of the checkpoint that `model` was loaded from.
        files: folder of that checkpoint, if its weights are those of `model` but `changed`.
        changed: weights in its blocks with other values.
    """
    if is_quantised(model):
        return write_quantised(model, anatomy, dropped, folder, files)
    done = files and _from_files(model, anatomy, dropped, folder, stored_dtype, files, changed)
    return done or _from_memory(model, anatomy, dropped, folder, stored_dtype)


def _from_files(
    model: PreTrainedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    folder: Path,
    dtype: torch.dtype,
    files: Path,
    changed: Collection[nn.Parameter],
) -> Written | None:
    """Copy the weights from file to file; return None if the files do not tell how."""
    if not type(model).__module__.startswith("transformers."):
        return None  # its own code may be a part of the checkpoint
    if model.dtype not in (dtype, torch.float32):
        return None  # its weights were rounded when they were loaded
    layers = packed_layers(model, anatomy, dropped)
    tensors = blocks_in_files(files, anatomy, layers, dtype)
    if tensors is None:
        return None
    values = changed_in_files(tensors, anatomy, layers, changed, dtype)
    if values is None:
        return None
    pruned: Any = empty_repacked(model, anatomy, dropped, layers)
    say_dtype(pruned.config, dtype)
    pruned.config.architectures = [type(model).__name__]
    pruned.config.save_pretrained(folder)
    if pruned.can_generate():
        pruned.generation_config.save_pretrained(folder)
    write_shards(tensors, folder, changed=values)
    return Written(len(layers), 0, sum(p.numel() for p in pruned.parameters()), 0, dtype)


def _from_memory(
    model: PreTrainedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    folder: Path,
    stored_dtype: torch.dtype,
) -> Written:
    made = repacked(model, anatomy, dropped)
    pruned: Any = made.model
    for weight in pruned.parameters():
        weight.data = whole(weight.data)
    narrow(pruned, stored_dtype)
    say_dtype(pruned.config, pruned.dtype)
    pruned.save_pretrained(folder)
    return Written(
        layers=len(made.layers),
        half_layers=len(leftovers(made.layers)),
        parameters=sum(parameter.numel() for parameter in pruned.parameters()),
        zeroed=made.zeroed,
        dtype=pruned.dtype,
    )
