"""`block_configs` of DeciLM and Nemotron-NAS: for each block, which halves it has and their width.

vLLM (nemotron_nas.py), llama.cpp (architecture deci) and TensorRT-LLM read it, for models that
compute what Llama computes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.base.user_text import message_line, shown
from evop_deap.models.formats.drops import Drops
from evop_deap.space.unit_names import ATTENTION, unit_name

CONFIG_MODULE = "configuration_decilm"
"""Name of the Python file that makes the entries of the configuration attributes."""

_SIZES = ("n_heads_in_group", "ffn_mult", "intermediate_size")

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
    first = next(index for index, live in enumerate(drops.live) if any(live))
    if first in drops.attention:
        raise InputError(
            "a block_configs checkpoint must begin with an attention half, because vLLM's loader "
            f"needs one, but {unit_name(first, ATTENTION)} is dropped and the MLP after it is not"
        )
    blocks = [_block(config, *live) for live in drops.live]
    return {
        **config,
        "model_type": "nemotron-nas",
        "architectures": ["DeciLMForCausalLM"],
        "auto_map": {"AutoConfig": f"{CONFIG_MODULE}.DeciLMConfig"},
        "block_configs": blocks,
    }


def parse_block_configs(blocks: Sequence[Any], dense: Mapping[str, Any] | None = None) -> Drops:
    """Return the parts that the value of the field drops.

    Args:
        blocks: The value of the field, an entry a block.
        dense: Fields of the dense model's configuration, for the sizes of the halves that stay;
            sizes that it does not give must be equal in all blocks.

    Raises:
        InputError: a block has no `no_op` for one of its halves, or says more than that a half is
            dropped: another width, fewer heads, a linear layer or a window.
    """
    gone: dict[str, set[int]] = {"attention": set(), "ffn": set()}
    seen: dict[str, Any] = {}
    for index, block in enumerate(blocks):
        at = f"`block_configs` {index}"
        halves = [block.get(half) if isinstance(block, dict) else None for half in gone]
        if not all(isinstance(h, dict) and isinstance(h.get("no_op"), bool) for h in halves):
            raise InputError(
                f"{at} must have `no_op` for its attention and its ffn, each true or false"
            )
        _refuse_more(block, gone, at)
        for half, indices in gone.items():
            said = block[half]
            if said.get("replace_with_linear"):
                raise InputError(f"{at} replaces a half with a linear layer")
            _refuse_more(said, ("no_op", *_SIZES), f"{at}, {half},")
            if said["no_op"]:
                indices.add(index)
            else:
                _check_sizes(said, seen, dense or {}, f"{at}, {half},")
    return Drops.of_sublayers(len(blocks), gone["attention"], gone["ffn"])


def _refuse_more(said: Mapping[str, Any], known: Collection[str], at: str) -> None:
    """Refuse what this package does not carry out."""
    for name, value in said.items():
        if name not in known and value not in (None, False):
            raise InputError(
                f"{at} may only say what is dropped, but has {message_line(name)} {shown(value)}"
            )


def _check_sizes(
    said: Mapping[str, Any], seen: dict[str, Any], dense: Mapping[str, Any], at: str
) -> None:
    """Refuse a kept half with another size than the dense model's, or than those in `seen`."""
    for name in _SIZES:
        value = said.get(name)
        if value is None:
            continue
        if type(value) not in (int, float):
            raise InputError(f"{at} must have a number as {name}, but got {shown(value)}")
        if not _fits(name, value, dense) or value != seen.setdefault(name, value):
            raise InputError(
                f"{at} has {name} {value:g}, which is not the dense model's: only whole halves "
                "can be dropped"
            )


def _fits(name: str, value: float, dense: Mapping[str, Any]) -> bool:
    """Return whether a half has the dense model's size, as far as its configuration says."""
    if name == "n_heads_in_group":
        heads, groups = dense.get("num_attention_heads"), dense.get("num_key_value_heads")
        return not heads or not groups or value == heads // groups
    hidden, width = dense.get("hidden_size"), dense.get("intermediate_size")
    if not hidden or not width:
        return True
    if name == "intermediate_size":
        return bool(value == width)
    # Readers round the product down to a whole number, and that up to a multiple of 256.
    return width % 256 == 0 and bool(width - 255 <= 2 * value * hidden / 3 < width + 1)


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
