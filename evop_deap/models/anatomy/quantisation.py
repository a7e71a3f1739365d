"""Models whose weights are quantised: how they are told, and the precision they compute in."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.models.anatomy.probe import probe_tokens, run_forward

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

FIELD = "quantization_config"
_REPACKS = "support_avx512bf16_for_cpu"


def is_quantised(model: PreTrainedModel) -> bool:
    """Return whether a model was loaded with quantised weights, and not dequantised."""
    # The attribute exists only on models that were loaded from a checkpoint.
    return getattr(model, "hf_quantizer", None) is not None and method_of(model.config) is not None


def method_of(config: PreTrainedConfig) -> str | None:
    """Return the method in a configuration, such as "gptq"; None if nothing is quantised."""
    about = fields_of(config)
    if about is None:
        return None
    bits = {4: about.get("load_in_4bit"), 8: about.get("load_in_8bit")}
    said = next((f" {bit} bit" for bit, loaded in bits.items() if loaded), "")
    method = about.get("quant_method", "quantised")
    return f"{getattr(method, 'value', method)}{said}"


def fields_of(config: PreTrainedConfig) -> dict[str, Any] | None:
    """Return what a configuration says of its quantised weights; None if they are not."""
    about = getattr(config, FIELD, None)
    if about is None:
        return None
    return dict(about) if isinstance(about, Mapping) else dict(about.to_dict())


def rounds_to(model: PreTrainedModel, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that sets how far two runs may differ, where a model computes in `dtype`.

    The 8-bit layers of bitsandbytes round what they read to float16 and to integers, and the 4-bit
    ones to a dtype of their configuration.
    """
    about = fields_of(model.config) if is_quantised(model) else None
    if about is None:
        return dtype
    inner = torch.float16 if about.get("load_in_8bit") else dtype
    if about.get("load_in_4bit"):
        name = str(about.get("bnb_4bit_compute_dtype", dtype)).removeprefix("torch.")
        inner = getattr(torch, name)
    return inner if torch.finfo(inner).eps > torch.finfo(dtype).eps else dtype


def settle(model: PreTrainedModel) -> None:
    """Bring a quantised model that was just loaded into the state that it keeps.

    compressed-tensors unpacks weights in the first pass. On some CPUs the 4-bit layers of
    bitsandbytes repack theirs for a kernel in bfloat16, and round them whenever they are saved:
    here they compute without it, in the dtype of their configuration.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of every pass
    for module in model.modules():
        if hasattr(module, _REPACKS):
            setattr(module, _REPACKS, False)
    run_forward(model, probe_tokens(model))


@contextmanager
def each_token_alone(model: PreTrainedModel) -> Iterator[None]:
    """Inside this context, what a layer makes of a token does not depend on the other tokens.

    The 8-bit layers of bitsandbytes compute columns in float16 where any token of a batch is
    large. So a later token changes the rounding of earlier ones, which is no fault of the model.
    """
    states = [one.state for one in model.modules() if hasattr(one, "state")]
    mixing = [(state, state.threshold) for state in states if hasattr(state, "threshold")]
    try:
        for state, _ in mixing:
            state.threshold = 0.0
        yield
    finally:
        for state, threshold in mixing:
            state.threshold = threshold


def plain_tensors(name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the ordinary tensors that a tensor consists of, with names; mostly itself alone.

    The quantised tensors of torchao hold packed values, scales and zeros.
    """
    if not hasattr(tensor, "__tensor_flatten__"):
        yield name, tensor
        return
    parts, _ = tensor.__tensor_flatten__()
    for part in parts:
        yield from plain_tensors(f"{name}.{part}", getattr(tensor, part))
