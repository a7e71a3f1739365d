"""Reading of a pattern from a file in any supported format, or from a list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError, one_line
from evop_deap.models.formats.block_configs import parse_block_configs
from evop_deap.models.formats.drops import Drops
from evop_deap.models.formats.layer_drop import is_layer_drop_config, parse_layer_drop_config
from evop_deap.models.formats.mergekit import parse_mergekit
from evop_deap.models.formats.per_layer_config import parse_per_layer_config
from evop_deap.models.formats.sleb_results import is_sleb, parse_sleb


def read_pattern(given: str, n_blocks: int) -> Drops:
    """Return the drops in a file, or in a list such as "3,4,12.attn".

    The file may be the result.json of a run, or its folder; an EvoPress layer_drop_config.txt; a
    SLEB result; a mergekit passthrough recipe; a `per_layer_config`; a configuration with
    `block_configs`; or the list as text, separated by commas, spaces or line ends.

    Args:
        given: Path of the file, or the list itself.
        n_blocks: Number of blocks of the model.

    Raises:
        InputError: it is none of these, or is for another number of blocks.
    """
    path = Path(given).expanduser()
    path = path / "result.json" if path.is_dir() else path
    if not path.is_file():
        return _listed(given, n_blocks)
    try:
        drops = parse_pattern(path.read_text(encoding="utf-8"), n_blocks)
    except (OSError, UnicodeDecodeError) as error:
        reason = one_line(error)
        raise InputError(f"`pattern` {path} cannot be read: {reason}") from error
    except InputError as error:
        raise InputError(f"`pattern` {path} cannot be used: {error}") from error
    if drops.n_blocks != n_blocks:
        raise InputError(
            f"`pattern` {path} is about {drops.n_blocks} blocks, but the model has {n_blocks}"
        )
    return drops


def parse_pattern(text: str, n_blocks: int) -> Drops:
    """Return the drops in the text of a file in any of the formats.

    Raises:
        InputError: it is in none of them.
    """
    if is_sleb(text):
        return parse_sleb(text, n_blocks)
    if is_layer_drop_config(text):
        return parse_layer_drop_config(text)
    if text.lstrip().startswith("{"):
        return _from_json(text, n_blocks)
    if "slices:" in text:
        return parse_mergekit(_yaml(text), n_blocks)
    return Drops.named(n_blocks, _words(text))


def _from_json(text: str, n_blocks: int) -> Drops:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"it is no JSON: {error}") from error
    if value.get("merged"):
        raise InputError(
            "dropped blocks were merged into kept ones, which a pattern cannot express: "
            "use the checkpoint in the run's model/"
        )
    if isinstance(value.get("dropped"), list) and isinstance(value.get("n_blocks"), int):
        return Drops.named(value["n_blocks"], [str(name) for name in value["dropped"]])
    if isinstance(value.get("per_layer_config"), dict):
        return parse_per_layer_config(value["per_layer_config"], n_blocks)
    if isinstance(value.get("block_configs"), list):
        return parse_block_configs(value["block_configs"])
    raise InputError("it has neither `dropped`, nor `per_layer_config`, nor `block_configs`")


def _yaml(text: str) -> dict[str, Any]:
    import yaml

    try:
        recipe = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"it is no YAML: {one_line(error)}") from error
    if not isinstance(recipe, dict):
        raise InputError("it is no mergekit recipe")
    return recipe


def _listed(given: str, n_blocks: int) -> Drops:
    try:
        return Drops.named(n_blocks, _words(given))
    except InputError as error:
        raise InputError(f"`pattern` {given} is no file, and no list: {error}") from error


def _words(text: str) -> list[str]:
    words = text.replace(",", " ").split()
    if not words:
        raise InputError("it names nothing to drop")
    return words
