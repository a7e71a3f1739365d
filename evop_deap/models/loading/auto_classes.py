"""The Auto class of transformers that loads all of a model, and not its language model alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evop_deap.models.loading.beside_decoder import CAUSAL

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def auto_class(config: PreTrainedConfig) -> Any:
    """Return the Auto class for a configuration.

    For some multimodal models, `AutoModelForCausalLM` would load the language model alone.
    """
    import transformers

    nested = config.get_text_config(decoder=True) is not config
    return getattr(transformers, auto_class_name(config.model_type, is_nested=nested))


def auto_class_name(model_type: str, *, is_nested: bool) -> str:
    """Return the name of the Auto class for a type of model.

    Args:
        model_type: as in config.json.
        is_nested: whether the configuration has one of its text part in it.

    Example:
        >>> auto_class_name("llava", is_nested=True), auto_class_name("llama", is_nested=False)
        ('AutoModelForImageTextToText', 'AutoModelForCausalLM')
    """
    from transformers.models.auto import modeling_auto

    by_name = {
        "AutoModelForImageTextToText": modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        "AutoModelForMultimodalLM": modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    }
    known = (name for name, types in by_name.items() if model_type in types)
    return next(known, CAUSAL) if is_nested else CAUSAL


def is_known(config: PreTrainedConfig) -> bool:
    """Return whether transformers, or the checkpoint's own code, has a class for it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    name = auto_class(config).__name__
    own = getattr(config, "auto_map", None) or {}
    return name != CAUSAL or type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or CAUSAL in own
