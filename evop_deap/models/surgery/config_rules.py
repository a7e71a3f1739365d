"""What a configuration says of single layers, dialect by dialect, said of other layers.

Lists with one entry a layer, lists of layer numbers, counts and periods: each dialect is one
rule. A field speaks of a layer's attention, of its MLP, or of the whole layer; where the halves
of a layer are from different blocks, what is said of a whole layer must be the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evop_deap.base.errors import UnsupportedModelError

Fields = Mapping[str, Any]
"""The fields of a decoder's configuration by name."""


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


Rule = Callable[[Fields, Sources], dict[str, Any]]
"""(fields of the dense model, sources of the new layers) -> the fields that change."""

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
# "The first so many layers are different."
_COUNTS_FROM_START = (
    "first_k_dense_replace",
    "max_window_layers",
    "num_dense_layers",
)
# "Every period-th layer, beginning at the offset, is different."
_PERIODS = (
    ("attn_layer_period", "attn_layer_offset"),
    ("expert_layer_period", "expert_layer_offset"),
)
# Layers for predicting several tokens: they sit behind the last layer in the published weights
# and a causal language model does not load them, so none are left to save.
_PREDICTION_LAYERS = ("num_mtp_layers", "num_nextn_predict_layers")
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


def cannot_say(name: str) -> UnsupportedModelError:
    """That a field has no way to say what the new layers need."""
    return UnsupportedModelError(f"`{name}` cannot express the layers that would be kept")


Described = Iterator[tuple[str, list[Any]]]
"""Pairs of a field's name and what it says of each block of the dense model."""


def described(fields: Fields, n_blocks: int) -> Described:
    """Everything that is written down of single layers, whichever way."""
    for describe in (_lists, _numbered, _overridden, _lettered):
        yield from describe(fields, n_blocks)


def _lists(fields: Fields, n_blocks: int) -> Described:
    """`layer_types`, `no_rope_layers`, per-layer widths and every other list of that length."""
    for name, value in fields.items():
        if isinstance(value, list) and len(value) == n_blocks and _speaks_of_layers(name):
            yield name, value


def _numbered(fields: Fields, n_blocks: int) -> Described:
    """Lists of layer numbers, as whether each layer is in the list."""
    for name in _INDEX_LISTS:
        if isinstance(fields.get(name), list):
            yield name, [index in fields[name] for index in range(n_blocks)]


def _overridden(fields: Fields, n_blocks: int) -> Described:
    """`per_layer_config` of Gemma-4 and others: what single layers say otherwise, by number."""
    overrides = fields.get("per_layer_config")
    if overrides:
        by_index = {int(index): override for index, override in overrides.items()}
        yield "per_layer_config", [by_index.get(index) for index in range(n_blocks)]


def _lettered(fields: Fields, n_blocks: int) -> Described:
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


def _per_layer_lists(dense: Fields, sources: Sources) -> dict[str, Any]:
    return {name: sources.pick(name, said) for name, said in _lists(dense, sources.n_blocks)}


def _index_lists(dense: Fields, sources: Sources) -> dict[str, Any]:
    return {
        name: _positions(sources.pick(name, said))
        for name, said in _numbered(dense, sources.n_blocks)
    }


def _layer_overrides(dense: Fields, sources: Sources) -> dict[str, Any]:
    return {
        name: {str(i): said for i, said in enumerate(sources.pick(name, by_layer)) if said}
        for name, by_layer in _overridden(dense, sources.n_blocks)
    }


def _layer_letters(dense: Fields, sources: Sources) -> dict[str, Any]:
    return {
        name: "".join(sources.pick(name, letters))
        for name, letters in _lettered(dense, sources.n_blocks)
    }


def _positions(flags: Sequence[bool]) -> list[int]:
    return [position for position, flag in enumerate(flags) if flag]


def _sparse_step(dense: Fields, sources: Sources) -> dict[str, Any]:
    """Qwen's rule, sparse at every step-th layer but `mlp_only_layers`, as that list alone."""
    step = dense.get("decoder_sparse_step")
    if step is None:
        return {}
    listed = dense.get("mlp_only_layers") or []
    plain = [i in listed or (i + 1) % step != 0 for i in range(sources.n_blocks)]
    return {
        "decoder_sparse_step": 1,
        "mlp_only_layers": _positions(sources.pick("decoder_sparse_step", plain)),
    }


def _counts_from_start(dense: Fields, sources: Sources) -> dict[str, Any]:
    """Count the new layers among the first so many."""
    frequency = dense.get("moe_layer_freq")
    if isinstance(frequency, int) and frequency != 1 and not dense.get("mlp_layer_types"):
        raise cannot_say("moe_layer_freq")
    return {
        name: sum(sources.pick(name, [i < dense[name] for i in range(sources.n_blocks)]))
        for name in _COUNTS_FROM_START
        if isinstance(dense.get(name), int)
    }


def _moe_range(dense: Fields, sources: Sources) -> dict[str, Any]:
    """ERNIE's rule, every interval-th layer from a start to an end, as one run of layers."""
    interval = dense.get("moe_layer_interval")
    if interval is None:
        return {}
    start, end = dense["moe_layer_start_index"], dense["moe_layer_end_index"]
    flags = [(i + 1) % interval == 0 and start <= i <= end for i in range(sources.n_blocks)]
    sparse = _positions(sources.pick("moe_layer_interval", flags))
    if not sparse:
        # An end of -1 would mean the last layer, so the run has to begin behind it.
        return {"moe_layer_start_index": len(sources), "moe_layer_end_index": len(sources)}
    if sparse != list(range(sparse[0], sparse[-1] + 1)):
        raise cannot_say("moe_layer_interval")
    return {
        "moe_layer_interval": 1,
        "moe_layer_start_index": sparse[0],
        "moe_layer_end_index": sparse[-1],
    }


def _periods(dense: Fields, sources: Sources) -> dict[str, Any]:
    """Jamba's rules: find the period and offset that hit the same layers."""
    changed: dict[str, Any] = {}
    if dense.get("layers_block_type"):
        return changed
    for period_name, offset_name in _PERIODS:
        if dense.get(period_name) is None:
            continue
        period, offset = dense[period_name], dense[offset_name]
        flags = [index % period == offset for index in range(sources.n_blocks)]
        found = _period_of(sources.pick(period_name, flags))
        if found is None:
            raise cannot_say(period_name)
        changed[period_name], changed[offset_name] = found
    return changed


def _period_of(wanted: Sequence[bool]) -> tuple[int, int] | None:
    """Smallest (period, offset) with position % period == offset exactly where wanted."""
    for period in range(1, len(wanted) + 2):
        for offset in range(period):
            if all((i % period == offset) == want for i, want in enumerate(wanted)):
                return period, offset
    return None


def _attention_types(dense: Fields, sources: Sources) -> dict[str, Any]:
    """GPT-Neo's groups `[[types, repeats], ...]`, as one group that is not repeated."""
    groups = dense.get("attention_types")
    if not groups:
        return {}
    types = [kind for kinds, repeats in groups for _ in range(repeats) for kind in kinds]
    return {"attention_types": [[sources.pick("attention_types", types), 1]]}


def _block_types(dense: Fields, sources: Sources) -> dict[str, Any]:
    """RecurrentGemma's cycle of types, written out once for all new layers."""
    cycle = dense.get("block_types")
    if not cycle:
        return {}
    types = [cycle[index % len(cycle)] for index in range(sources.n_blocks)]
    return {"block_types": sources.pick("block_types", types)}


def _key_value_sources(dense: Fields, sources: Sources) -> dict[str, Any]:
    """Mistral's list of the layer whose keys and values each layer uses: only its own."""
    used = dense.get("kv_source_layers")
    if used is None:
        return {}
    if used != list(range(sources.n_blocks)):
        raise cannot_say("kv_source_layers")
    return {"kv_source_layers": list(range(len(sources)))}


def _residual_depth(dense: Fields, sources: Sources) -> dict[str, Any]:
    """MiniCPM divides `scale_depth` by the root of the number of layers: keep the quotient."""
    scale = dense.get("scale_depth")
    if scale is None:
        return {}
    return {"scale_depth": scale * (len(sources) / sources.n_blocks) ** 0.5}


def _prediction_layers(dense: Fields, sources: Sources) -> dict[str, Any]:
    return {name: 0 for name in _PREDICTION_LAYERS if dense.get(name)}


# The sparse step says anew what the index rule has said of `mlp_only_layers`.
RULES: tuple[Rule, ...] = (
    _per_layer_lists,
    _index_lists,
    _layer_overrides,
    _sparse_step,
    _counts_from_start,
    _moe_range,
    _periods,
    _attention_types,
    _block_types,
    _layer_letters,
    _key_value_sources,
    _residual_depth,
    _prediction_layers,
)
