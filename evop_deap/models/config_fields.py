"""Rewriting a model's configuration for the blocks that stay, field by field.

A configuration says in many dialects what differs from layer to layer: lists with one entry a
layer, lists of layer numbers, counts and periods. Each dialect is one rule below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evop_deap.errors import UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Fields = Mapping[str, Any]
"""The fields of a decoder's configuration by name."""
Rule = Callable[[Fields, int, Sequence[int]], dict[str, Any]]
"""(fields, number of layers, kept layers) -> the fields that change."""

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
# What a configuration makes of its fields; must come out as the kept part of the dense lists.
_DERIVED = (
    "attention_layers",
    "layer_types",
    "layers_block_type",
    "layers_num_experts",
    "mlp_layer_types",
    "no_rope_layers",
)


def remap_config(config: PreTrainedConfig, kept: Sequence[int]) -> PreTrainedConfig:
    """A new configuration of the same class for the `kept` blocks; `config` is not touched.

    Args:
        config: The dense model's configuration; of a nested one only the text part changes.
        kept: Indices of the blocks that stay, ascending.

    Raises:
        UnsupportedModelError: a field cannot say what the kept blocks need.
    """
    text = config.get_text_config(decoder=True)
    _refuse_inexpressible(text)
    n_layers = int(text.num_hidden_layers)
    fields = text.to_dict()
    for rule in _RULES:
        fields.update(rule(fields, n_layers, kept))
    fields[text.attribute_map.get("num_hidden_layers", "num_hidden_layers")] = len(kept)
    remapped = _rebuild(config, fields)
    _check_derived(text, remapped.get_text_config(decoder=True), kept)
    return remapped


def _refuse_inexpressible(text: PreTrainedConfig) -> None:
    """Refuse what makes a layer's work depend on its number or on other layers."""
    reasons = {
        "scale_attn_by_inverse_layer_idx": "attention is divided by the layer's number",
        "num_kv_shared_layers": "layers use the keys and values of other layers",
        "ple_layer_ids": "layers have embeddings of their own outside the blocks",
        "n_layers_per_attn_res_block": "layers read the states of earlier layers",
    }
    for name, reason in reasons.items():
        if getattr(text, name, None):
            raise UnsupportedModelError(
                f"{type(text).__name__} has `{name}`, so that {reason};"
                " its blocks cannot be removed"
            )


def _cannot_say(name: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"`{name}` cannot express the layers that would be kept")


def _per_layer_lists(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """`layer_types`, `no_rope_layers`, per-layer widths and every other list of that length."""
    return {
        name: [value[index] for index in kept]
        for name, value in fields.items()
        if isinstance(value, list) and len(value) == n_layers and _speaks_of_layers(name)
    }


def _speaks_of_layers(name: str) -> bool:
    return not (
        name in _NO_LAYER_LISTS
        or name in _INDEX_LISTS
        or name.startswith("mtp_")
        or "token_id" in name
    )


def _index_lists(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """Keep the numbers of kept layers, renumbered."""
    place = {index: position for position, index in enumerate(kept)}
    return {
        name: [place[index] for index in fields[name] if index in place]
        for name in _INDEX_LISTS
        if isinstance(fields.get(name), list)
    }


def _layer_overrides(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """`per_layer_config` of Gemma-4 and others: what single layers say otherwise, by number."""
    overrides = fields.get("per_layer_config")
    if not overrides:
        return {}
    by_index = {int(index): override for index, override in overrides.items()}
    return {
        "per_layer_config": {
            str(position): by_index[index]
            for position, index in enumerate(kept)
            if index in by_index
        }
    }


def _sparse_step(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """Qwen's rule, sparse at every step-th layer but `mlp_only_layers`, as that list alone."""
    step = fields.get("decoder_sparse_step")
    if step is None:
        return {}
    # The index rule has run: the list speaks of kept positions, the step of dense numbers.
    listed = fields.get("mlp_only_layers") or []
    dense = [
        position
        for position, index in enumerate(kept)
        if position in listed or (index + 1) % step != 0
    ]
    return {"decoder_sparse_step": 1, "mlp_only_layers": dense}


def _counts_from_start(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """Count the kept layers among the first so many."""
    frequency = fields.get("moe_layer_freq")
    if isinstance(frequency, int) and frequency != 1 and not fields.get("mlp_layer_types"):
        raise _cannot_say("moe_layer_freq")
    return {
        name: sum(index < fields[name] for index in kept)
        for name in _COUNTS_FROM_START
        if isinstance(fields.get(name), int)
    }


def _moe_range(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """ERNIE's rule, every interval-th layer from a start to an end, as one run of layers."""
    if fields.get("moe_layer_interval") is None:
        return {}
    interval, start = fields["moe_layer_interval"], fields["moe_layer_start_index"]
    end = fields["moe_layer_end_index"]
    sparse = [
        position
        for position, index in enumerate(kept)
        if (index + 1) % interval == 0 and start <= index <= end
    ]
    if not sparse:
        # An end of -1 would mean the last layer, so the run has to begin behind it.
        return {"moe_layer_start_index": len(kept), "moe_layer_end_index": len(kept)}
    if sparse != list(range(sparse[0], sparse[-1] + 1)):
        raise _cannot_say("moe_layer_interval")
    return {
        "moe_layer_interval": 1,
        "moe_layer_start_index": sparse[0],
        "moe_layer_end_index": sparse[-1],
    }


def _periods(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """Jamba's rules: find the period and offset that hit the same kept layers."""
    changed: dict[str, Any] = {}
    if fields.get("layers_block_type"):
        return changed
    for period_name, offset_name in _PERIODS:
        if fields.get(period_name) is None:
            continue
        period, offset = fields[period_name], fields[offset_name]
        wanted = [index % period == offset for index in kept]
        found = _period_of(wanted)
        if found is None:
            raise _cannot_say(period_name)
        changed[period_name], changed[offset_name] = found
    return changed


def _period_of(wanted: Sequence[bool]) -> tuple[int, int] | None:
    """Smallest (period, offset) with position % period == offset exactly where wanted."""
    for period in range(1, len(wanted) + 2):
        for offset in range(period):
            if all((i % period == offset) == want for i, want in enumerate(wanted)):
                return period, offset
    return None


def _attention_types(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """GPT-Neo's groups `[[types, repeats], ...]`, as one group that is not repeated."""
    groups = fields.get("attention_types")
    if not groups:
        return {}
    types = [kind for kinds, repeats in groups for _ in range(repeats) for kind in kinds]
    return {"attention_types": [[[types[index] for index in kept], 1]]}


def _block_types(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """RecurrentGemma's cycle of types, written out once for all kept layers."""
    cycle = fields.get("block_types")
    if not cycle:
        return {}
    return {"block_types": [cycle[index % len(cycle)] for index in kept]}


def _layer_letters(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """Nemotron-H's string with one letter a layer."""
    letters = fields.get("hybrid_override_pattern")
    if not isinstance(letters, str) or len(letters) != n_layers:
        return {}
    return {"hybrid_override_pattern": "".join(letters[index] for index in kept)}


def _key_value_sources(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """Mistral's list of the layer whose keys and values each layer uses: only its own."""
    sources = fields.get("kv_source_layers")
    if sources is None:
        return {}
    if sources != list(range(n_layers)):
        raise _cannot_say("kv_source_layers")
    return {"kv_source_layers": list(range(len(kept)))}


def _residual_depth(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    """MiniCPM divides `scale_depth` by the root of the number of layers: keep the quotient."""
    scale = fields.get("scale_depth")
    if scale is None:
        return {}
    return {"scale_depth": scale * (len(kept) / n_layers) ** 0.5}


def _prediction_layers(fields: Fields, n_layers: int, kept: Sequence[int]) -> dict[str, Any]:
    return {name: 0 for name in _PREDICTION_LAYERS if fields.get(name)}


# In this order: the sparse step reads the list that the index rule has renumbered.
_RULES: tuple[Rule, ...] = (
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


def _rebuild(config: PreTrainedConfig, text_fields: Fields) -> PreTrainedConfig:
    """A configuration like `config` with these fields in its text part."""
    from huggingface_hub.errors import StrictDataclassError

    text = config.get_text_config(decoder=True)
    fields = dict(text_fields)
    if text is not config:
        key = next(name for name in config.sub_configs if getattr(config, name) is text)
        fields = {**config.to_dict(), key: fields}
    try:
        # Built anew, because validation refuses every state between the old and the new lists.
        rebuilt = type(config)(**fields)
    except (
        StrictDataclassError,
        AttributeError,
        LookupError,
        NotImplementedError,
        TypeError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split())
        raise UnsupportedModelError(
            f"{type(config).__name__} cannot describe the kept layers: {reason}"
        ) from error
    _copy_implementations(config, rebuilt)
    return rebuilt


def _copy_implementations(source: PreTrainedConfig, target: PreTrainedConfig) -> None:
    """Carry over the choice of kernels, which is no part of a saved configuration."""
    target._attn_implementation_internal = source._attn_implementation_internal
    target._experts_implementation_internal = source._experts_implementation_internal
    for name in source.sub_configs:
        if getattr(source, name) is not None:
            _copy_implementations(getattr(source, name), getattr(target, name))


def _check_derived(dense: PreTrainedConfig, text: PreTrainedConfig, kept: Sequence[int]) -> None:
    """Refuse a configuration that reads its own fields differently from the rules above."""
    if text.num_hidden_layers != len(kept):
        raise _cannot_say("num_hidden_layers")
    for name in _DERIVED:
        before = getattr(dense, name, None)
        if not isinstance(before, list) or len(before) != dense.num_hidden_layers:
            continue
        if list(getattr(text, name)) != [before[index] for index in kept]:
            raise _cannot_say(name)
