"""Checkpoints of a toy Llama whose weights are quantised, by every package that is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_models import toy_tokenizer, write_toy_checkpoint
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, TorchAoConfig

IGNORED = ["lm_head", "model.layers.1.mlp.down_proj", "model.layers.3.self_attn.o_proj"]
"""Modules of the toy of compressed-tensors that keep their weights."""


def write_quantised(kind: str, folder: Path) -> Path:
    """Write a toy of this kind with its tokenizer; skip the test without the package."""
    package, write = KINDS[kind]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    write(write_toy_checkpoint(folder / "dense"), folder / kind)
    toy_tokenizer().save_pretrained(folder / kind)
    return folder / kind


def fields_of(folder: Path) -> dict[str, Any]:
    """The configuration of a checkpoint."""
    fields: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return fields


def _loaded(dense: Path, folder: Path, settings: Any) -> None:
    model = AutoModelForCausalLM.from_pretrained(dense, quantization_config=settings)
    model.save_pretrained(folder, max_shard_size="20KB")


def _torchao(dense: Path, folder: Path) -> None:
    from torchao.quantization import Int8WeightOnlyConfig

    _loaded(dense, folder, TorchAoConfig(Int8WeightOnlyConfig()))


def _of_8_bits(dense: Path, folder: Path) -> None:
    kept = ["lm_head", "model.layers.2.mlp.up_proj"]
    _loaded(dense, folder, BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept))


def _of_4_bits(dense: Path, folder: Path) -> None:
    nested = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )
    _loaded(dense, folder, nested)


def _compressed(dense: Path, folder: Path) -> None:
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationArgs,
        QuantizationConfig,
        QuantizationScheme,
        apply_quantization_config,
    )
    from compressed_tensors.quantization.utils import calculate_qparams

    of_weights = QuantizationArgs(num_bits=4, strategy="group", group_size=16, symmetric=True)
    scheme = QuantizationScheme(targets=["Linear"], weights=of_weights)
    model = AutoModelForCausalLM.from_pretrained(dense)
    settings = QuantizationConfig(
        config_groups={"group_0": scheme}, ignore=IGNORED, format="pack-quantized"
    )
    apply_quantization_config(model, settings)
    for module in model.modules():
        if hasattr(module, "quantization_scheme"):
            groups = module.weight.detach().unflatten(1, (-1, 16))  # (outputs, groups, 16)
            scale, _ = calculate_qparams(groups.amin(-1), groups.amax(-1), of_weights)
            module.weight_scale.data.copy_(scale)
    compressor = ModelCompressor.from_pretrained_model(model, "pack-quantized")
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(str(folder))


KINDS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "torchao": ("torchao", _torchao),
    "bitsandbytes-8": ("bitsandbytes", _of_8_bits),
    "bitsandbytes-4": ("bitsandbytes", _of_4_bits),
    "compressed-tensors": ("compressed_tensors", _compressed),
}
"""By kind, the package that it needs and the function that writes a toy."""
