"""The per-layer fields of a configuration, and the half of a layer that each describes.

Lists with one entry per layer, lists of layer numbers, overrides by number, and strings of letters
are all read as one value for each block. A field describes a layer's attention, its MLP, or the
whole layer. If the halves of a layer come from different blocks, a field of the whole layer must
have the same value for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evop_deap.base.errors import UnsupportedModelError

Fields = Mapping[str, Any]
"""The fields of a decoder's configuration by name."""

# Fields that describe the attention half of a layer: its kind, its window, its positions.
_OF_ATTENTION = frozenset(
    {
        "attention_layers",
        "attention_types",
        "attn_layer_indices",
        "attn_layer_period",
        "block_types",
        "cross_attention_layers",
        "full_attn_idxs",
        "full_attn_layers",
        "index_topk_pattern",
        "indexer_types",
        "kda_layers",
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
# Fields that describe the MLP half: its width, its experts.
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
    """The blocks of the dense model that the halves of each new layer come from, both ascending."""

    n_blocks: int
    attention: Sequence[int]
    mlp: Sequence[int]

    def __len__(self) -> int:
        return len(self.attention)

    def pick(self, name: str, dense: Sequence[Any]) -> list[Any]:
        """Return a field's values for the new layers, given its values for the blocks.

        Raises:
            UnsupportedModelError: it describes whole layers, and its values for the two halves
                of a new layer differ.
        """
        attention = [dense[index] for index in self.attention]
        mlp = [dense[index] for index in self.mlp]
        # If a layer may be an MLP alone, a list of kinds describes whole layers.
        is_of_attention = name in _OF_ATTENTION and not any(
            kind in ("mlp", "moe") for kind in dense
        )
        if is_of_attention or attention == mlp:
            return attention
        if name in _OF_MLP:
            return mlp
        raise cannot_express(name)


def cannot_express(name: str) -> UnsupportedModelError:
    """Return the error for a field that cannot express the new layers."""
    return UnsupportedModelError(f"`{name}` cannot express the layers that would be kept")


Described = Iterator[tuple[str, list[Any]]]
"""Pairs of a field's name and its values for the blocks of the dense model."""


def described(fields: Fields, n_blocks: int) -> Described:
    """Yield all per-layer fields, in any of the four forms."""
    for describe in (lists, numbered, overridden, lettered):
        yield from describe(fields, n_blocks)


def lists(fields: Fields, n_blocks: int) -> Described:
    """Yield lists with one entry per layer, such as `layer_types` and `no_rope_layers`."""
    for name, value in fields.items():
        if isinstance(value, list) and len(value) == n_blocks and _is_per_layer(name):
            yield name, value


def numbered(fields: Fields, n_blocks: int) -> Described:
    """Yield lists of layer numbers, as whether each layer is in the list."""
    for name in _INDEX_LISTS:
        if isinstance(fields.get(name), list):
            yield name, [index in fields[name] for index in range(n_blocks)]


def overridden(fields: Fields, n_blocks: int) -> Described:
    """Yield `per_layer_config` of Gemma-4 and others: overrides by layer number."""
    overrides = fields.get("per_layer_config")
    if overrides:
        by_index = {int(index): override for index, override in overrides.items()}
        yield "per_layer_config", [by_index.get(index) for index in range(n_blocks)]


def lettered(fields: Fields, n_blocks: int) -> Described:
    """Yield strings with one letter per layer, of Nemotron-H and GLM."""
    for name in ("hybrid_override_pattern", "index_topk_pattern"):
        letters = fields.get(name)
        if isinstance(letters, str) and len(letters) == n_blocks:
            yield name, list(letters)


def _is_per_layer(name: str) -> bool:
    return not (
        name in _NO_LAYER_LISTS
        or name in _INDEX_LISTS
        or name.startswith("mtp_")
        or "token_id" in name
    )
