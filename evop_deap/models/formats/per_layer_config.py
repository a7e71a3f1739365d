"""transformers' `per_layer_config`: the sublayers that each layer skips, by layer number.

https://huggingface.co/docs/transformers/heterogeneous_configurations
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evop_deap.base.errors import InputError
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
        try:
            (skip,) = overrides.values()
            index = int(number)
        except (AttributeError, ValueError) as error:
            raise InputError(
                f"`per_layer_config` of layer {number} must have `skip` and nothing else"
            ) from error
        names = set(skip) if isinstance(skip, list) else {str(skip)}
        if "skip" not in overrides or not names <= {_ATTENTION, _MLP}:
            raise InputError(
                f"`per_layer_config` of layer {number} must skip attention, mlp or both, but got "
                f"{overrides}"
            )
        skipped[index] = names
    return Drops.of_sublayers(
        n_blocks,
        attention=(i for i, names in skipped.items() if _ATTENTION in names),
        mlp=(i for i, names in skipped.items() if _MLP in names),
    )
