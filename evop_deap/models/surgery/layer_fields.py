"""What a configuration says of single layers, and for which half of a layer it speaks.

Lists with one entry a layer, lists of layer numbers, overrides by number, letters: each is read as
what is said of each block. A field speaks of a layer's attention, of its MLP, or of the whole
layer; where the halves of a layer are from different blocks, what is said of a whole layer must be
the same for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evop_deap.base.errors import UnsupportedModelError

Fields = Mapping[str, Any]
"""The fields of a decoder's configuration by name."""

# Fields that speak of the attention half of a layer: its kind, its window, its positions.
_OF_ATTENTION = frozenset(
    {
        "attention_layers",
        "attention_types",
        "attn_layer_indices",
        "attn_layer_period",
        "block_types",
        "cross_attention_layers",
        "full_attn_idxs",
        "layer_rope_theta",
        "layer_types",
        "layers_block_type",
        "max_window_layers",
        "no_rope_layers",
        "num_attention_heads_per_layer",
        "num_key_value_heads_per_layer",
        "rope_scaling_layers",
    }
)
# Fields that speak of the MLP half: its width, its experts.
_OF_MLP = frozenset(
    {
        "activation_sparsity_pattern",
        "decoder_sparse_step",
        "expert_layer_period",
        "first_k_dense_replace",
        "intermediate_size",
        "layers_num_experts",
        "mlp_layer_types",
        "mlp_only_layers",
        "moe_layer_interval",
        "moe_layers",
        "num_dense_layers",
    }
)
# Lists of layer numbers, counted from 0.
_INDEX_LISTS = (
    "attn_layer_indices",
    "cross_attention_layers",
    "full_attn_idxs",
    "hybrid_layer_ids",
    "mlp_only_layers",
    "moe_layers",
    "rope_scaling_layers",
)
# Lists whose length may equal the number of layers by chance.
_NO_LAYER_LISTS = frozenset(
    {
        "architectures",
        "attention_types",
        "block_types",
        "kv_source_layers",
        "mlp_multipliers",
        "ssm_multipliers",
        "time_step_limit",
    }
)


@dataclass(frozen=True)
class Sources:
    """Which blocks of the dense model the halves of each new layer are from, both ascending."""

    n_blocks: int
    attention: Sequence[int]
    mlp: Sequence[int]

    def __len__(self) -> int:
        return len(self.attention)

    def pick(self, name: str, dense: Sequence[Any]) -> list[Any]:
        """What a field says of the new layers, given what it says of each block.

        Raises:
            UnsupportedModelError: it speaks of whole layers, and of the two halves of one
                differently.
        """
        attention = [dense[index] for index in self.attention]
        mlp = [dense[index] for index in self.mlp]
        # Where a kind may be an MLP alone, a list of kinds speaks of whole layers.
        is_of_attention = name in _OF_ATTENTION and not any(
            said in ("mlp", "moe") for said in dense
        )
        if is_of_attention or attention == mlp:
            return attention
        if name in _OF_MLP:
            return mlp
        raise cannot_say(name)


def cannot_say(name: str) -> UnsupportedModelError:
    """That a field has no way to say what the new layers need."""
    return UnsupportedModelError(f"`{name}` cannot express the layers that would be kept")


Described = Iterator[tuple[str, list[Any]]]
"""Pairs of a field's name and what it says of each block of the dense model."""


def described(fields: Fields, n_blocks: int) -> Described:
    """Everything that is written down of single layers, whichever way."""
    for describe in (lists, numbered, overridden, lettered):
        yield from describe(fields, n_blocks)


def lists(fields: Fields, n_blocks: int) -> Described:
    """`layer_types`, `no_rope_layers`, per-layer widths and every other list of that length."""
    for name, value in fields.items():
        if isinstance(value, list) and len(value) == n_blocks and _speaks_of_layers(name):
            yield name, value


def numbered(fields: Fields, n_blocks: int) -> Described:
    """Lists of layer numbers, as whether each layer is in the list."""
    for name in _INDEX_LISTS:
        if isinstance(fields.get(name), list):
            yield name, [index in fields[name] for index in range(n_blocks)]


def overridden(fields: Fields, n_blocks: int) -> Described:
    """`per_layer_config` of Gemma-4 and others: what single layers say otherwise, by number."""
    overrides = fields.get("per_layer_config")
    if overrides:
        by_index = {int(index): override for index, override in overrides.items()}
        yield "per_layer_config", [by_index.get(index) for index in range(n_blocks)]


def lettered(fields: Fields, n_blocks: int) -> Described:
    """Nemotron-H's string with one letter a layer."""
    letters = fields.get("hybrid_override_pattern")
    if isinstance(letters, str) and len(letters) == n_blocks:
        yield "hybrid_override_pattern", list(letters)


def _speaks_of_layers(name: str) -> bool:
    return not (
        name in _NO_LAYER_LISTS
        or name in _INDEX_LISTS
        or name.startswith("mtp_")
        or "token_id" in name
    )
