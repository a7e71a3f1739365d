"""Rewriting of a model's configuration for the layers of a pruned model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.surgery.config_rules import RULES
from evop_deap.models.surgery.layer_fields import Fields, Sources, cannot_express, described

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Lists that a configuration derives from its fields; they must be the kept part of the dense ones.
_DERIVED = (
    "attention_layers",
    "layer_types",
    "layers_block_type",
    "layers_num_experts",
    "mlp_layer_types",
    "no_rope_layers",
)


def remap_config(
    config: PreTrainedConfig, attention: Sequence[int], mlp: Sequence[int] | None = None
) -> PreTrainedConfig:
    """Return a new configuration of the same class for a model with fewer layers.

    Args:
        config: The dense model's configuration; in a nested one, only the text part changes.
        attention: For each new layer, the block of its attention half, ascending.
        mlp: The same for its MLP half; by default, layers are whole blocks.

    Raises:
        UnsupportedModelError: a field cannot express the new layers.
    """
    text = config.get_text_config(decoder=True)
    _refuse_inexpressible(text)
    sources = Sources(text.num_hidden_layers, attention, attention if mlp is None else mlp)
    dense = text.to_dict()
    fields = dict(dense)
    for rule in RULES:
        fields.update(rule(dense, sources))
    fields[text.attribute_map.get("num_hidden_layers", "num_hidden_layers")] = len(sources)
    remapped = _rebuild(config, fields)
    _check_derived(text, remapped.get_text_config(decoder=True), sources)
    return remapped


def halves_combine(config: PreTrainedConfig, attention: int, mlp: int) -> bool:
    """Return whether one layer can have its attention from one block and its MLP from another.

    It can if all fields that describe whole layers have the same value for both blocks.
    """
    text = config.get_text_config(decoder=True)
    fields, n_blocks = text.to_dict(), int(text.num_hidden_layers)
    try:
        for name, dense in described(fields, n_blocks):
            Sources(n_blocks, [attention], [mlp]).pick(name, dense)
    except UnsupportedModelError:
        return False
    return True


def _refuse_inexpressible(text: PreTrainedConfig) -> None:
    """Refuse fields that make a layer's computation depend on its number or on other layers."""
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


def _rebuild(config: PreTrainedConfig, text_fields: Fields) -> PreTrainedConfig:
    """Return a configuration like `config` with these fields in its text part."""
    from huggingface_hub.errors import StrictDataclassError

    text = config.get_text_config(decoder=True)
    fields = dict(text_fields)
    if text is not config:
        key = next(name for name in config.sub_configs if getattr(config, name) is text)
        fields = {**config.to_dict(), key: fields}
    try:
        # A new object, because validation refuses every state between the old and the new lists.
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
    """Copy the choice of kernels, which is not part of a saved configuration."""
    target._attn_implementation_internal = source._attn_implementation_internal
    target._experts_implementation_internal = source._experts_implementation_internal
    for name in source.sub_configs:
        if getattr(source, name) is not None:
            _copy_implementations(getattr(source, name), getattr(target, name))


def _check_derived(dense: PreTrainedConfig, text: PreTrainedConfig, sources: Sources) -> None:
    """Refuse a configuration whose derived lists differ from those that the rules imply."""
    if text.num_hidden_layers != len(sources):
        raise cannot_express("num_hidden_layers")
    for name in _DERIVED:
        before = getattr(dense, name, None)
        if not isinstance(before, list) or len(before) != sources.n_blocks:
            continue
        if list(getattr(text, name)) != sources.pick(name, before):
            raise cannot_express(name)
