"""The language model of a multimodal model, as a model of its own."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import UnsupportedModelError, one_line
from evop_deap.models.anatomy.probe import nearly_equal, probe_tokens, run_forward

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def text_part(whole: PreTrainedModel) -> PreTrainedModel:
    """Return a causal language model with the decoder and the head of a multimodal one.

    It shares their tensors. On text, its logits are those of `whole`.

    Raises:
        UnsupportedModelError: transformers has no class for it, or it computes something else.
    """
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    wrapper: Any = whole
    config = copy.deepcopy(whole.config.get_text_config(decoder=True))
    name = type(whole).__name__
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UnsupportedModelError(
            f"`text_only`: transformers has no class for the language model of {name} alone "
            f"({config.model_type}): leave it out to keep the whole model"
        )
    head = wrapper.get_output_embeddings()
    table = wrapper.get_input_embeddings().weight
    config.tie_word_embeddings = head is not None and head.weight is table
    config._name_or_path = whole.config._name_or_path
    with init_empty_weights(include_buffers=False):
        text: Any = AutoModelForCausalLM.from_config(config, dtype=whole.dtype)
    try:
        decoder = wrapper.get_decoder().state_dict()
        text.get_decoder().load_state_dict(decoder, strict=True, assign=True)
        text.get_output_embeddings().load_state_dict(head.state_dict(), strict=True, assign=True)
    except (AttributeError, RuntimeError) as error:
        raise UnsupportedModelError(
            f"`text_only`: the decoder of {name} is no {type(text).__name__}: {one_line(error)}"
        ) from error
    text.tie_weights()
    text.generation_config = copy.deepcopy(whole.generation_config)
    alone: PreTrainedModel = text.to(whole.device).eval()
    ids = probe_tokens(whole)
    if not nearly_equal(run_forward(whole.eval(), ids), run_forward(alone, ids)):
        raise UnsupportedModelError(
            f"`text_only`: the decoder of {name} computes something else as a "
            f"{type(text).__name__}: leave it out to keep the whole model"
        )
    return alone


def beside_the_decoder(model: PreTrainedModel) -> list[str]:
    """Return the names of the weights that are neither in the text decoder nor in the head."""
    parts: Any = model
    head = parts.get_output_embeddings()
    modules: list[torch.nn.Module] = [parts.get_decoder(), *([] if head is None else [head])]
    own = {id(p) for module in modules for p in module.parameters()}
    return [name for name, p in model.named_parameters() if id(p) not in own]
