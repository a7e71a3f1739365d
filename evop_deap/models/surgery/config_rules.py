"""Rules that rewrite the per-layer fields of a configuration, one for each convention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from evop_deap.models.surgery.layer_fields import (
    Fields,
    Sources,
    cannot_express,
    lettered,
    lists,
    numbered,
    overridden,
)

Rule = Callable[[Fields, Sources], dict[str, Any]]
"""(fields of the dense model, sources of the new layers) -> the fields that change."""

# Fields with a count n: the first n layers are different.
_COUNTS_FROM_START = (
    "first_k_dense_replace",
    "max_window_layers",
    "num_dense_layers",
)
# Fields with a period and an offset: every period-th layer from the offset is different.
_PERIODS = (
    ("attn_layer_period", "attn_layer_offset"),
    ("expert_layer_period", "expert_layer_offset"),
)
# Layers for multi-token prediction: they follow the last layer in the published weights, and a
# causal language model does not load them, so none can be saved.
_PREDICTION_LAYERS = ("mtp_num_hidden_layers", "num_mtp_layers", "num_nextn_predict_layers")


def _per_layer_lists(dense: Fields, sources: Sources) -> dict[str, Any]:
    return {name: sources.pick(name, values) for name, values in lists(dense, sources.n_blocks)}


def _index_lists(dense: Fields, sources: Sources) -> dict[str, Any]:
    return {
        name: _positions(sources.pick(name, values))
        for name, values in numbered(dense, sources.n_blocks)
    }


def _layer_overrides(dense: Fields, sources: Sources) -> dict[str, Any]:
    return {
        name: {str(i): fields for i, fields in enumerate(sources.pick(name, by_layer)) if fields}
        for name, by_layer in overridden(dense, sources.n_blocks)
    }


def _layer_letters(dense: Fields, sources: Sources) -> dict[str, Any]:
    return {
        name: "".join(sources.pick(name, letters))
        for name, letters in lettered(dense, sources.n_blocks)
    }


def _positions(flags: Sequence[bool]) -> list[int]:
    return [position for position, flag in enumerate(flags) if flag]


def _sparse_step(dense: Fields, sources: Sources) -> dict[str, Any]:
    """Qwen: sparse at every step-th layer but `mlp_only_layers`; written as that list alone."""
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
    """Count the kept layers among the first n."""
    frequency = dense.get("moe_layer_freq")
    if isinstance(frequency, int) and frequency != 1 and not dense.get("mlp_layer_types"):
        raise cannot_express("moe_layer_freq")
    return {
        name: sum(sources.pick(name, [i < dense[name] for i in range(sources.n_blocks)]))
        for name in _COUNTS_FROM_START
        if isinstance(dense.get(name), int)
    }


def _moe_range(dense: Fields, sources: Sources) -> dict[str, Any]:
    """ERNIE: every interval-th layer from a start to an end; written as one run of layers."""
    interval = dense.get("moe_layer_interval")
    if interval is None:
        return {}
    start, end = dense["moe_layer_start_index"], dense["moe_layer_end_index"]
    flags = [(i + 1) % interval == 0 and start <= i <= end for i in range(sources.n_blocks)]
    sparse = _positions(sources.pick("moe_layer_interval", flags))
    if not sparse:
        # An end of -1 would mean the last layer, so an empty run begins after it.
        return {"moe_layer_start_index": len(sources), "moe_layer_end_index": len(sources)}
    if sparse != list(range(sparse[0], sparse[-1] + 1)):
        raise cannot_express("moe_layer_interval")
    return {
        "moe_layer_interval": 1,
        "moe_layer_start_index": sparse[0],
        "moe_layer_end_index": sparse[-1],
    }


def _periods(dense: Fields, sources: Sources) -> dict[str, Any]:
    """Jamba: find the period and offset that give the same layers."""
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
            raise cannot_express(period_name)
        changed[period_name], changed[offset_name] = found
    return changed


def _period_of(wanted: Sequence[bool]) -> tuple[int, int] | None:
    """Return the smallest (period, offset) with position % period == offset exactly if wanted."""
    for period in range(1, len(wanted) + 2):
        for offset in range(period):
            if all((i % period == offset) == want for i, want in enumerate(wanted)):
                return period, offset
    return None


def _attention_types(dense: Fields, sources: Sources) -> dict[str, Any]:
    """GPT-Neo: groups `[[types, repeats], ...]`; written as one group without repeats."""
    groups = dense.get("attention_types")
    if not groups:
        return {}
    types = [kind for kinds, repeats in groups for _ in range(repeats) for kind in kinds]
    return {"attention_types": [[sources.pick("attention_types", types), 1]]}


def _linear_attention(dense: Fields, sources: Sources) -> dict[str, Any]:
    """Kimi: inside `linear_attn_config`, the numbers of the layers of each kind, from 1."""
    inner = dense.get("linear_attn_config")
    if not isinstance(inner, dict):
        return {}
    numbers = {name: inner.get(name) for name in ("full_attn_layers", "kda_layers")}
    picked = {
        name: [1 + i for i in _positions(sources.pick(name, _counted_from_1(listed, sources)))]
        for name, listed in numbers.items()
        if isinstance(listed, list)
    }
    return {"linear_attn_config": {**inner, **picked}}


def _counted_from_1(listed: Sequence[int], sources: Sources) -> list[bool]:
    return [index + 1 in listed for index in range(sources.n_blocks)]


def _block_types(dense: Fields, sources: Sources) -> dict[str, Any]:
    """RecurrentGemma: a cycle of types; written as one type for each new layer."""
    cycle = dense.get("block_types")
    if not cycle:
        return {}
    types = [cycle[index % len(cycle)] for index in range(sources.n_blocks)]
    return {"block_types": sources.pick("block_types", types)}


def _key_value_sources(dense: Fields, sources: Sources) -> dict[str, Any]:
    """Mistral: the layer whose keys and values each layer uses; it must be the layer itself."""
    used = dense.get("kv_source_layers")
    if used is None:
        return {}
    if used != list(range(sources.n_blocks)):
        raise cannot_express("kv_source_layers")
    return {"kv_source_layers": list(range(len(sources)))}


def _residual_depth(dense: Fields, sources: Sources) -> dict[str, Any]:
    """MiniCPM: it divides `scale_depth` by the root of the number of layers; keep the quotient."""
    scale = dense.get("scale_depth")
    if scale is None:
        return {}
    return {"scale_depth": scale * (len(sources) / sources.n_blocks) ** 0.5}


def _prediction_layers(dense: Fields, sources: Sources) -> dict[str, Any]:
    return {name: 0 for name in _PREDICTION_LAYERS if dense.get(name)}


# The order matters: `_sparse_step` overwrites the `mlp_only_layers` of `_index_lists`.
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
    _linear_attention,
    _layer_letters,
    _key_value_sources,
    _residual_depth,
    _prediction_layers,
)
