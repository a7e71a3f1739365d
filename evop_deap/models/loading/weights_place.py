"""The choice of whether weights are held in memory or stay in their files until they are used."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import InputError
from evop_deap.base.formatting import mebibytes
from evop_deap.models.loading.checkpoint_files import SAFETENSORS, checkpoint_folder
from evop_deap.models.loading.hardware import WEIGHTS_SHARE
from evop_deap.models.loading.memory_needs import allowed_memory, weights_size
from evop_deap.models.loading.put_together import not_made
from evop_deap.models.loading.shards import StoredTensor, stored_in

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

RESIDENT, STREAMED, AUTO = "resident", "streamed", "auto"
_CONVERT = (
    'python -c "import transformers as t; '
    "t.AutoModelForCausalLM.from_pretrained('{name}').save_pretrained('{to}'); "
    "t.AutoTokenizer.from_pretrained('{name}').save_pretrained('{to}')\""
)
_BLOCK = re.compile(r"(.*?\.\d+)\.")  # of a tensor's name


def stays_in_files(
    weights: str,
    where: Mapping[str, Any],
    config: PreTrainedConfig,
    *,
    stored: torch.dtype,
    dtype: torch.dtype,
    devices: Sequence[torch.device],
    text_only: bool,
    tell: Callable[[str], object],
) -> bool:
    """Return whether the weights of a checkpoint are to be streamed from its files.

    Args:
        weights: "resident", "streamed", or "auto": streamed where the weights would take more than
            80 % of the free memory of `devices`.
        where: the arguments of `from_pretrained` that locate the checkpoint.
        config: its configuration.
        stored: dtype of the checkpoint.
        dtype: dtype to compute in.
        devices: where the model is to run.
        text_only: whether the language model of a multimodal model is wanted alone.
        tell: gets a line on the choice of "auto".

    Raises:
        InputError: the weights are to be streamed, but cannot be.
    """
    if weights == RESIDENT:
        return False
    name = where["pretrained_model_name_or_path"]
    folder = checkpoint_folder(where, SAFETENSORS)
    size = 0 if folder is None else weights_size(folder)
    needed, free = size * dtype.itemsize // stored.itemsize, allowed_memory(*devices)
    if weights == AUTO and needed <= WEIGHTS_SHARE * free:
        return False
    files = {} if folder is None else stored_in(folder)
    reason = why_not_streamed(files, where, config, stored, dtype, devices, text_only)
    if weights == STREAMED:
        if reason is not None:
            raise InputError(f"`weights` streamed is not possible for `model` {name}: {reason}")
        _check_a_block_fits(files, dtype, free)
        return True
    if reason is None:
        _check_a_block_fits(files, dtype, free)
    takes = f"its weights take {mebibytes(needed)} of {mebibytes(free)} that are free"
    tell(f"{takes}: they are {'streamed' if reason is None else f'not streamed: {reason}'}")
    return reason is None


def why_not_streamed(
    files: Mapping[str, StoredTensor],
    where: Mapping[str, Any],
    config: PreTrainedConfig,
    stored: torch.dtype,
    dtype: torch.dtype,
    devices: Sequence[torch.device],
    text_only: bool,
) -> str | None:
    """Return why weights cannot be streamed, and what would do; None if they can.

    Args:
        files: the tensors in the checkpoint's safetensors files.
        where: the arguments of `from_pretrained` that locate it.
        config: its configuration.
        stored: dtype of the checkpoint.
        dtype: dtype to compute in.
        devices: where the model is to run.
        text_only: whether the language model of a multimodal model is wanted alone.
    """
    name = where["pretrained_model_name_or_path"]
    if "gguf_file" in where:
        return "a GGUF file is dequantised as a whole: convert it to safetensors"
    if not files:
        to = f"{name.rstrip('/')}.safetensors"
        command = _CONVERT.format(name=name, to=to)
        return f"it has no safetensors files: {command} writes them to {to}"
    if getattr(config, "quantization_config", None) is not None:
        return "it is quantised: name its dense original"
    if len(devices) > 1:
        return f"it would run on {', '.join(map(str, devices))}: name one `device`"
    if dtype not in (stored, torch.float32):
        said, kept = (str(one).removeprefix("torch.") for one in (dtype, stored))
        return f"`dtype` {said} is not the stored one: choose {kept} or float32"
    if text_only:
        return "`text_only` takes a model out of another: leave it out"
    if (name := not_made(files, config, stored)) is not None:
        return f"{name} is not made from its stored tensors alone: choose `weights` resident"
    return None


def _check_a_block_fits(files: Mapping[str, StoredTensor], dtype: torch.dtype, free: int) -> None:
    """Refuse a model of which not even the block in use and the next one fit in memory."""
    sizes: Counter[str] = Counter()
    for name, tensor in files.items():
        if block := _BLOCK.match(name):
            sizes[block[1]] += math.prod(tensor.shape) * dtype.itemsize
    name, size = max(sizes.items(), key=lambda item: item[1], default=("", 0))
    if 2 * size > free:
        raise InputError(
            f"`weights` streamed holds two blocks at a time, and {name} takes {mebibytes(size)} "
            f"in {str(dtype).removeprefix('torch.')}, but {mebibytes(free)} are free: free memory, "
            "or choose a narrower `dtype`"
        )
