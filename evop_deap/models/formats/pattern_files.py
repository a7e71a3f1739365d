"""Reading of a pattern from a file in any supported format, or from a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evop_deap.base.data_files import parse_json, parse_yaml, read_utf8
from evop_deap.base.errors import InputError
from evop_deap.base.user_paths import existing_path
from evop_deap.base.user_text import message_line, shown
from evop_deap.models.formats.block_configs import parse_block_configs
from evop_deap.models.formats.drops import Drops
from evop_deap.models.formats.layer_drop import is_layer_drop_config, parse_layer_drop_config
from evop_deap.models.formats.mergekit import parse_mergekit
from evop_deap.models.formats.per_layer_config import parse_per_layer_config
from evop_deap.models.formats.run_results import RESULT, why_no_result
from evop_deap.models.formats.sleb_results import is_sleb, parse_sleb
from evop_deap.space.unit_names import is_unit_name

MERGED = (
    "dropped blocks were merged into kept ones, which a pattern cannot express: use the "
    "checkpoint in the run's model/"
)
"""Why a merge has no pattern."""

_NOTHING = "it names nothing to drop"

_FIELDS = ("slices", "dropped", "per_layer_config", "block_configs")


def read_pattern(given: str, n_blocks: int, dense: Mapping[str, Any] | None = None) -> Drops:
    """Return the drops in a file, or in a list such as "3,4,12.attn".

    The file may be the result.json of a run, or its folder; an EvoPress layer_drop_config.txt; a
    SLEB result; a mergekit passthrough recipe; a `per_layer_config`; a configuration with
    `block_configs`; or the list as text, separated by commas, spaces or line ends. A file that
    asks for more than dropping parts is refused.

    Args:
        given: Path of the file, or the list itself.
        n_blocks: Number of blocks of the model.
        dense: Fields of the model's configuration, with its stored `dtype`: what a file says of
            sizes and number formats must agree with it.

    Raises:
        InputError: it is none of these, or is for another number of blocks.
    """
    path = existing_path(given, "pattern")
    if path is not None and path.is_dir():
        if reason := why_no_result(path):
            raise InputError(f"`pattern` {path} is not the folder of a finished run: {reason}")
        path = path / RESULT
    if path is None or not path.is_file():
        return _listed(given, n_blocks)
    text = read_utf8(path, f"`pattern` {path}")
    try:
        drops = parse_pattern(text, n_blocks, dense)
    except InputError as error:
        raise InputError(f"`pattern` {path} cannot be used: {error}") from error
    if drops.n_blocks != n_blocks:
        raise InputError(
            f"`pattern` {path} is about {drops.n_blocks} blocks, but the model has {n_blocks}"
        )
    if not drops.gone:
        raise InputError(f"`pattern` {path} cannot be used: {_NOTHING}")
    return drops


def parse_pattern(text: str, n_blocks: int, dense: Mapping[str, Any] | None = None) -> Drops:
    """Return the drops in the text of a file in any of the formats; `dense` as in `read_pattern`.

    Raises:
        InputError: it is in none of them, or asks for more than dropping parts.
    """
    text = text.removeprefix("\ufeff")
    if is_sleb(text):
        return parse_sleb(text, n_blocks)
    if is_layer_drop_config(text):
        return parse_layer_drop_config(text)
    if text.lstrip().startswith("{"):
        return _from_mapping(parse_json(text), n_blocks, dense or {})
    if ":" in text:
        recipe = parse_yaml(text)
        if not isinstance(recipe, dict) or "slices" not in recipe:
            raise InputError("it is not a mergekit recipe: it lacks `slices`")
        return _from_mapping(recipe, n_blocks, dense or {})
    return Drops.named(n_blocks, _words(text))


def _from_mapping(value: dict[str, Any], n_blocks: int, dense: Mapping[str, Any]) -> Drops:
    found = [name for name in _FIELDS if value.get(name) is not None]
    if len(found) != 1:
        raise InputError(
            f"it has both `{found[0]}` and `{found[1]}`: keep the one that you mean"
            if found
            else "it has neither `dropped`, nor `per_layer_config`, nor `block_configs`"
        )
    field = value[found[0]]
    if found == ["slices"]:
        return _of_dtype(parse_mergekit(value, n_blocks), value.get("dtype"), dense)
    if found == ["dropped"]:
        return _from_result(value)
    if value.get("num_hidden_layers") not in (None, n_blocks):
        raise InputError(
            f"it is about {shown(value['num_hidden_layers'])} blocks, but the model has {n_blocks}"
        )
    if found == ["per_layer_config"] and isinstance(field, dict):
        return parse_per_layer_config(field, n_blocks)
    if found == ["block_configs"] and isinstance(field, list):
        return parse_block_configs(field, dense)
    raise InputError(f"`{found[0]}` cannot be {shown(field)}")


def _from_result(value: Mapping[str, Any]) -> Drops:
    """Return the drops in a run's result."""
    if value.get("merged") not in (None, False):
        raise InputError(MERGED)
    names, count = value["dropped"], value.get("n_blocks")
    if not isinstance(names, list) or not all(type(name) in (str, int) for name in names):
        raise InputError(f"`dropped` must be a list of names, but got {shown(names)}")
    if type(count) is not int or count < 1:
        raise InputError(f"`n_blocks` must be the number of blocks, but got {shown(count)}")
    return Drops.named(count, map(str, names))


def _of_dtype(drops: Drops, dtype: str | None, dense: Mapping[str, Any]) -> Drops:
    """Return the drops of a recipe that does not convert the weights to another dtype."""
    stored = dense.get("dtype")
    if None not in (dtype, stored) and dtype != stored:
        raise InputError(
            f"the recipe's `dtype` is {dtype}, but the model is stored as {stored}, which stays: "
            "leave the line out"
        )
    return drops


def _listed(given: str, n_blocks: int) -> Drops:
    words: list[str] = []
    try:
        words = _words(given)
        return Drops.named(n_blocks, words)
    except InputError as error:
        short = message_line(shown(given)[1:-1])
        listed = words and all(map(is_unit_name, words))
        what = "cannot be used" if listed else "is neither a file nor a list"
        raise InputError(f"`pattern` {short} {what}: {error}") from error


def _words(text: str) -> list[str]:
    words = text.replace(",", " ").split()
    if not words:
        raise InputError(_NOTHING)
    return words
