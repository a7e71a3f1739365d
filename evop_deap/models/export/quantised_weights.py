"""The weights and the configuration of a pruned quantised model, copied from file to file.

Packed weights, scales and zeros keep their bits, and nothing is quantised again.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import ExportError
from evop_deap.models.anatomy.element_counts import elements
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.quantisation import FIELD, method_of
from evop_deap.models.export.blocks_in_files import blocks_in_files, names_in_files
from evop_deap.models.export.written import Written
from evop_deap.models.export.written_shards import write_shards
from evop_deap.models.loading.shards import stored_in
from evop_deap.models.surgery.packed_layers import packed_layers
from evop_deap.models.surgery.quantised_config import renumbered_quantisation
from evop_deap.models.surgery.renumbering import renumbering
from evop_deap.models.surgery.repacking import empty_repacked

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def write_quantised(
    model: PreTrainedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    folder: Path,
    files: Path | None,
) -> Written:
    """Write a quantised checkpoint without some of its units.

    Args:
        model: the dense model, quantised.
        anatomy: its anatomy.
        dropped: positions of the units to leave out.
        folder: where to write.
        files: folder of the checkpoint that `model` was loaded from.

    Raises:
        ExportError: its files do not tell which tensors belong to a block.
        UnsupportedModelError: the units cannot be removed; the message says why.
    """
    layers = packed_layers(model, anatomy, dropped)
    pruned: Any = empty_repacked(model, anatomy, dropped, layers)
    tensors = None if files is None else blocks_in_files(files, anatomy, layers, None)
    stored = {} if files is None else stored_in(files)
    names = names_in_files(stored, anatomy, layers)
    if files is None or tensors is None or names is None:
        raise ExportError(
            f"{type(model).__name__} is quantised ({method_of(model.config)}), and is pruned in "
            f"its safetensors files alone, where its {len(anatomy.blocks)} blocks were not found: "
            "name a folder or a hub id with them, or a dense model with --export-from"
        )
    pruned.config.architectures = [type(model).__name__]
    pruned.config.save_pretrained(folder)
    if pruned.can_generate():
        pruned.generation_config.save_pretrained(folder)
    # What the files said, because packages change their configuration when they load.
    about = json.loads((files / "config.json").read_text(encoding="utf-8"))[FIELD]
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields[FIELD] = renumbered_quantisation(
        about, renumbering(anatomy, layers), _linear_names(model), (names.prefix,)
    )
    # The order of its entries is kept: of GPTQ's `dynamic`, the first that matches counts.
    path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    write_shards(tensors, folder, renamed=names.new)
    return Written(len(layers), 0, elements(pruned), 0, model.dtype)


def _linear_names(model: PreTrainedModel) -> list[str]:
    """Return the names of the modules that a method may quantise."""
    return [name for name, module in model.named_modules() if hasattr(module, "in_features")]
