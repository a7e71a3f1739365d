"""`block_configs` of DeciLM and Nemotron-NAS: for each block, which halves it has and their width.

vLLM (nemotron_nas.py), llama.cpp (architecture deci) and TensorRT-LLM read it, for models that
compute what Llama computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.models.formats.drops import Drops

CONFIG_MODULE = "configuration_decilm"
"""Name of the Python file that makes the entries of the configuration attributes."""

# vLLM reads `config.block_configs[i].attention.no_op`, and no released transformers has a class
# for this model type; LlamaConfig takes every other field.
CONFIG_CODE = '''"""Configuration of a Llama with blocks that lack their attention or their MLP."""

from types import SimpleNamespace

from transformers import LlamaConfig


class DeciLMConfig(LlamaConfig):
    """Llama's configuration with `block_configs`: the halves of every block."""

    model_type = "nemotron-nas"

    def __init__(self, block_configs=None, **kwargs):
        super().__init__(**kwargs)
        self.block_configs = [
            SimpleNamespace(
                **{half: SimpleNamespace(**dict(entry)) for half, entry in block.items()}
            )
            for block in block_configs or []
        ]

    def to_dict(self):
        """Plain values, as in config.json."""
        blocks = self.__dict__.pop("block_configs", [])
        try:
            fields = super().to_dict()
        finally:
            self.block_configs = blocks
        fields["block_configs"] = [
            {half: dict(vars(entry)) for half, entry in vars(block).items()} for block in blocks
        ]
        return fields
'''


def block_configs_fields(config: Mapping[str, Any], drops: Drops) -> dict[str, Any]:
    """Return the dense model's configuration with `block_configs`, for config.json.

    Args:
        config: Fields of the dense model's configuration.
        drops: The dropped parts.

    Raises:
        UnsupportedModelError: the model computes something that Llama does not.
        InputError: the first kept half is an MLP, with which vLLM cannot begin.
    """
    _check_llama_like(config)
    first = next(live for live in drops.live if any(live))
    if not first[0]:
        raise InputError(
            "a block_configs checkpoint must begin with an attention half, because vLLM's loader "
            f"needs one, but {drops.names[0]} is dropped and the MLP after it is not"
        )
    blocks = [_block(config, *live) for live in drops.live]
    return {
        **config,
        "model_type": "nemotron-nas",
        "architectures": ["DeciLMForCausalLM"],
        "auto_map": {"AutoConfig": f"{CONFIG_MODULE}.DeciLMConfig"},
        "block_configs": blocks,
    }


def parse_block_configs(blocks: Sequence[Any]) -> Drops:
    """Return the parts that the value of the field drops.

    Raises:
        InputError: a block has no `no_op` for one of its halves.
    """
    gone: dict[str, set[int]] = {"attention": set(), "ffn": set()}
    for index, block in enumerate(blocks):
        for half, indices in gone.items():
            try:
                if block[half].get("replace_with_linear"):
                    raise InputError(f"`block_configs` {index} replaces a half with a linear layer")
                if block[half]["no_op"]:
                    indices.add(index)
            except (AttributeError, LookupError, TypeError) as error:
                raise InputError(
                    f"`block_configs` {index} must have `no_op` for its attention and its ffn"
                ) from error
    return Drops.of_sublayers(len(blocks), gone["attention"], gone["ffn"])


def _check_llama_like(config: Mapping[str, Any]) -> None:
    family = config.get("model_type")
    if family not in ("llama", "mistral"):
        raise UnsupportedModelError(
            f"a block_configs checkpoint is read as a Llama, and a {family} computes something else"
        )
    if config.get("sliding_window"):
        raise UnsupportedModelError(
            "a block_configs checkpoint is read as a Llama, which has no `sliding_window`"
        )


def _block(config: Mapping[str, Any], has_attention: bool, has_mlp: bool) -> dict[str, Any]:
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    group = heads // groups if has_attention else None
    width = _width(config) if has_mlp else {"ffn_mult": None}
    return {
        "attention": {
            "no_op": not has_attention,
            "n_heads_in_group": group,
            "replace_with_linear": False,
        },
        "ffn": {"no_op": not has_mlp, **width, "replace_with_linear": False},
    }


def _width(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the MLP's width: as a multiple if readers recover it exactly, else as it is."""
    hidden, width = config["hidden_size"], config["intermediate_size"]
    multiple = 1.5 * width / hidden
    # Readers round this product up to the next multiple of 256.
    if width % 256 == 0 and int(2 * multiple * hidden / 3) == width:
        return {"ffn_mult": multiple}
    return {"intermediate_size": width}
