"""The model in training: a pruned checkpoint with adapters, or with all weights trainable."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import CheckpointError, InputError, UnsupportedModelError, one_line
from evop_deap.models.anatomy.devices import is_spread

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_WEIGHTS = "trained.safetensors"
_BYTES_A_WEIGHT = 18  # the weight, its gradient and two moments in float32, and room for states


def check_peft() -> None:
    """Refuse adapters without peft.

    Raises:
        InputError: peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise InputError(
            "adapters need peft: pip install 'evop_deap[heal]', or train all weights with `full`"
        )


def check_trainable(model: PreTrainedModel, name: str) -> None:
    """Refuse a quantised checkpoint, whose weights cannot be trained and written exactly.

    Raises:
        UnsupportedModelError: the model is quantised.
        InputError: it is spread over several devices.
    """
    if is_spread(model):
        raise InputError(
            f"`device` auto spreads `source` {name} over several devices, because it does not fit "
            "on one: training needs one device, or the CPU"
        )
    if getattr(model.config, "quantization_config", None) is not None:
        raise not_trainable(name)


def is_quantised(checkpoint: Path) -> bool:
    """Return whether the configuration of a checkpoint says that its weights are quantised."""
    try:
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and bool(config.get("quantization_config"))


def not_trainable(name: str) -> UnsupportedModelError:
    """Return the error about a quantised checkpoint."""
    return UnsupportedModelError(
        f"`source` {name} is quantised: heal the checkpoint in float32, bfloat16 or float16, and "
        "quantise the result (fp8 and mxfp4 work where transformers dequantises them)"
    )


def fits_whole(parameters: int, device: torch.device) -> bool:
    """Return whether training all of so many weights fits in the free memory."""
    from evop_deap.models.loading.hardware import free_memory

    return parameters * _BYTES_A_WEIGHT <= free_memory(device)


def with_adapters(model: PreTrainedModel, rank: int) -> Any:
    """Return the model with trainable LoRA adapters on all linear layers of its decoder.

    Raises:
        UnsupportedModelError: peft cannot adapt the layers of this model.
    """
    from peft import LoraConfig, get_peft_model

    beside = {name.rpartition(".")[0] for name in _beside(model)}
    settings = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        exclude_modules=sorted(beside) or None,
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            # Of its own tables, and of names that transformers renames.
            warnings.simplefilter("ignore")
            return get_peft_model(model, settings)
    except ValueError as error:
        raise UnsupportedModelError(
            f"`full`: peft cannot adapt this model ({one_line(error)}): add --full"
        ) from error


def all_trainable(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model with all weights trainable but those that text does not reach."""
    made: Any = model.requires_grad_(True)
    whole: PreTrainedModel = made
    beside = _beside(model)
    for name, parameter in whole.named_parameters():
        parameter.requires_grad = name not in beside
    return whole


def _beside(model: PreTrainedModel) -> set[str]:
    """Return the names of a multimodal model's weights beside its decoder and its head."""
    from evop_deap.models.loading.text_part import beside_the_decoder

    is_plain = model.config.get_text_config(decoder=True) is model.config
    return set() if is_plain else set(beside_the_decoder(model))


def trainable(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Yield the trainable weights by name; of tied ones, the first."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def save_trained(model: torch.nn.Module, folder: Path) -> None:
    """Write the trainable weights into `folder`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: p.data.contiguous() for name, p in trainable(model)}, folder / _WEIGHTS)


def load_trained(model: torch.nn.Module, folder: Path) -> None:
    """Set the trainable weights to those that `save_trained` has written.

    Raises:
        CheckpointError: they cannot be read, or are of another model.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    own = dict(trainable(model))
    try:
        stored = load_file(folder / _WEIGHTS)
        fits = {n: t.shape for n, t in stored.items()} == {n: p.shape for n, p in own.items()}
    except (OSError, SafetensorError):
        fits = False
    if not fits:
        raise CheckpointError(
            f"`resume`: {folder / _WEIGHTS} does not fit this model: start again with --overwrite"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(stored[name])


def merged(model: Any) -> PreTrainedModel:
    """Return the model with its adapters added into the stock weights."""
    whole = model.merge_and_unload() if hasattr(model, "peft_config") else model
    plain: PreTrainedModel = whole.requires_grad_(False).eval()
    return plain


def rounded_to(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """Round the weights to what `dtype` can hold, and return the model; its dtype stays."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype).to(parameter.dtype)
    return model
