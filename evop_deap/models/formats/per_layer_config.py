"""transformers' `per_layer_config`: the sublayers that each layer skips, by layer number.

https://huggingface.co/docs/transformers/heterogeneous_configurations
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.base.user_text import message_line, shown
from evop_deap.models.formats.drops import Drops

PER_LAYER_WARNING = (
    "per_layer_config is for code that reads it: Llama, Qwen, Mistral and most models of "
    "transformers 5 accept the field, ignore it silently and compute the dense model"
)
_ATTENTION, _MLP = "attention", "mlp"


def per_layer_config(drops: Drops) -> dict[str, Any]:
    """Return the field for the dense model's config.json, which keeps its number of layers."""
    skipped = {
        i: [name for name, gone in ((_ATTENTION, drops.attention), (_MLP, drops.mlp)) if i in gone]
        for i in sorted(drops.attention | drops.mlp)
    }
    return {"per_layer_config": {str(i): {"skip": names} for i, names in skipped.items()}}


def parse_per_layer_config(layers: Mapping[str, Any], n_blocks: int) -> Drops:
    """Return the sublayers that the value of the field skips.

    Raises:
        InputError: a layer does anything but skip its attention or its MLP.
    """
    skipped: dict[int, set[str]] = {}
    for number, overrides in layers.items():
        at = f"`per_layer_config` of layer {message_line(number)}"
        if number not in map(str, range(n_blocks)):
            raise InputError(f"{at} must be one of the layers 0 to {n_blocks - 1}")
        if not isinstance(overrides, dict) or overrides.keys() != {"skip"}:
            raise InputError(f"{at} must have `skip` and nothing else, but got {shown(overrides)}")
        skip = overrides["skip"]
        names = skip if isinstance(skip, list) else [skip]
        if not all(name in (_ATTENTION, _MLP) for name in names):
            raise InputError(f"{at} must skip attention, mlp or both, but got {shown(skip)}")
        skipped[int(number)] = set(names)
    return Drops.of_sublayers(
        n_blocks,
        attention=(i for i, names in skipped.items() if _ATTENTION in names),
        mlp=(i for i, names in skipped.items() if _MLP in names),
    )
