"""Loading of a checkpoint's weights, all of which are used, or named as left out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.models.anatomy.quantisation import is_quantised, method_of, plain_tensors
from evop_deap.models.loading.auto_classes import auto_class
from evop_deap.models.loading.beside_decoder import BesideDecoder
from evop_deap.models.loading.checkpoint_files import (
    SAFETENSORS,
    checkpoint_folder,
    processor_files,
    stored_tensors,
)
from evop_deap.models.loading.put_together import (
    conversions_of,
    load_in_parts,
    not_made,
    whole,
)
from evop_deap.models.loading.shards import stored_in
from evop_deap.models.loading.tensor_groups import grouped
from evop_deap.models.loading.text_part import beside_the_decoder, text_part

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

# Masks and tables that old checkpoints hold and models compute.
COMPUTED = re.compile(r"(^|\.)(inv_freq|masked_bias|position_ids|attn\.bias|attention\.bias)$")


def load_weights(
    where: Mapping[str, Any],
    config: PreTrainedConfig,
    *,
    text_only: bool,
    in_files: bool = False,
    stand_ins: bool = False,
    **options: Any,
) -> tuple[PreTrainedModel, BesideDecoder]:
    """Load the weights of a checkpoint with the Auto class for all of them.

    Args:
        where: the arguments of `from_pretrained` that locate it.
        config: its configuration.
        text_only: whether the language model of a multimodal model is wanted alone.
        in_files: whether the weights are to stay in their files.
        stand_ins: whether those that are put together are to be made when they are used.
        options: further arguments of `from_pretrained`.

    Raises:
        InputError: weights are missing, or not finite.
        UnsupportedModelError: there is no language model alone.
    """
    from transformers import GgufConfig

    if "gguf_file" in where:
        where = {**where, "quantization_config": GgufConfig(dequantize=True)}
    if options["attn_implementation"] is None:
        del options["attn_implementation"]
    auto = auto_class(config)
    found = _in_parts(where, config, options) if stand_ins and not text_only else None
    model, info = found or auto.from_pretrained(**where, **options, output_loading_info=True)
    name = where["pretrained_model_name_or_path"]
    if getattr(model, "_hf_peft_config_loaded", False):
        raise InputError(
            f"`model` {name} holds adapters beside its weights (adapter_config.json): merge them "
            "into the checkpoint first"
        )
    if missing := sorted(info["missing_keys"]):
        # transformers would initialise them at random.
        raise InputError(
            f"`model` {name} lacks {len(missing)} weights "
            f"that its configuration asks for, such as {missing[0]}"
        )
    if (spoiled := _not_finite(model, in_files)) is not None:
        raise InputError(
            f"`model` {name} ({type(model).__name__}) has weights that are not finite: {spoiled}"
        )
    folder = checkpoint_folder(where)
    left_out = _unused(model, info["unexpected_keys"], stored_tensors(folder))
    if config.get_text_config(decoder=True) is config:
        if text_only:
            raise InputError(
                f"`text_only` is about a model with parts beside its language model, but {name} "
                f"({config.model_type}) has none: leave it out"
            )
        return model, BesideDecoder(left_out=left_out)
    beside = grouped(others := beside_the_decoder(model), _others(model, others))
    if text_only and is_quantised(model):
        raise InputError(
            f"`text_only` takes a model out of another, but the weights of {name} are quantised "
            f"({method_of(config)}): leave it out"
        )
    if text_only:
        said = f"{beside} of {type(model).__name__}, of which the language model alone is taken"
        return text_part(model), BesideDecoder(left_out=(said, *left_out), text_only=True)
    files = processor_files(folder)
    if beside and not files:
        left_out = (*left_out, "files of a processor, of which the checkpoint has none")
    return model, BesideDecoder(auto.__name__, beside, left_out, files)


def _in_parts(
    where: Mapping[str, Any], config: PreTrainedConfig, options: Mapping[str, Any]
) -> tuple[PreTrainedModel, dict[str, Any]] | None:
    """Return a model with stand-ins; None if all weights are in the files as they are."""
    folder = checkpoint_folder(where, SAFETENSORS)
    is_own = not type(config).__module__.startswith("transformers.")
    if folder is None or is_own or method_of(config) is not None:
        return None
    files = stored_in(folder)
    if not conversions_of(config, files) or not_made(files, config, options["dtype"]):
        return None
    names = ("dtype", "attn_implementation")
    return load_in_parts(folder, **{name: options[name] for name in names if name in options})


def _others(model: PreTrainedModel, names: Collection[str]) -> list[str]:
    return [name for name in model.state_dict() if name not in set(names)]


def _unused(
    model: PreTrainedModel, unexpected: Collection[str], stored: Collection[str]
) -> tuple[str, ...]:
    """Return a sentence on the tensors of a checkpoint that the model does not use, if any.

    `unexpected` lacks those that the model's class ignores, such as heads for the prediction of
    several tokens.
    """
    own = set(model.state_dict())
    # A checkpoint of the decoder alone has names without the path of the whole model.
    own |= {name.removeprefix(f"{model.base_model_prefix}.") for name in own}
    patterns = [re.compile(p) for p in model._keys_to_ignore_on_load_unexpected or ()]
    ignored = {n for n in stored if n not in own and any(p.search(n) for p in patterns)}
    unused = sorted(n for n in {*unexpected, *ignored} if not COMPUTED.search(n))
    if not unused:
        return ()
    used = {*own, *stored} - set(unused)
    return (f"{grouped(unused, used)}, which {type(model).__name__} does not use",)


def _not_finite(model: PreTrainedModel, in_files: bool) -> str | None:
    """Return the name of the first weight with an infinity or NaN, or None."""
    import torch

    from evop_deap.models.loading.mapped_pages import MappedPages

    pages = MappedPages(None if in_files else ())
    weights = (part for one in model.named_parameters() for part in plain_tensors(*one))
    for name, weight in weights:
        # Types of 8 bits and less hold quantised weights.
        if weight.is_floating_point() and weight.element_size() > 1:
            parts = whole(weight.detach()).reshape(-1).split(1 << 24)  # bounds the memory it takes
            for part in parts:
                if not torch.isfinite(part).all():
                    return name
                pages.let_go(part)
    return None
