"""Reading and writing the settings of a search as YAML files; every key is checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evop_deap.base.data_files import read_yaml
from evop_deap.base.errors import InputError
from evop_deap.base.user_text import shown
from evop_deap.settings.search_config import SearchConfig
from evop_deap.settings.switched_off import SWITCHES


def check_names(settings: Mapping[str, Any], *, source: str) -> None:
    """Check that every name is a setting.

    Raises:
        InputError: a name is unknown; the message suggests the nearest setting.
    """
    import difflib

    known = [field.name for field in dataclasses.fields(SearchConfig)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            raise InputError(f"{source} has an unknown key {shown(name)}: {hint}")


def read_mapping(path: Path, *, argument: str, line: str) -> dict[str, Any]:
    """Read the mapping in a YAML file; an empty file gives an empty mapping.

    Args:
        path: the file.
        argument: name of the argument that gave the path, for messages.
        line: an example of a line of the file, for messages.

    Raises:
        InputError: the file cannot be read, or does not hold a mapping.
    """
    content = read_yaml(path, f"`{argument}` {path}")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(
            f"`{argument}` {path} must hold `{line}` lines, but holds a {type(content).__name__}"
        )
    return content


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings in a YAML file.

    Raises:
        InputError: the file cannot be read, does not hold a mapping, or has an unknown key.
    """
    settings = read_mapping(path, argument="config", line="name: value")
    check_names(settings, source=f"`config` {path}")
    return {name: _word(name, value) for name, value in settings.items()}


def read_config(path: Path) -> SearchConfig:
    """Read the settings of a run, with the defaults of those that the file lacks.

    Raises:
        InputError: the file cannot be read, names no model, or a setting is wrong.
    """
    settings = read_settings(path)
    if "model" not in settings:
        raise InputError(f"{path} does not name its `model`")
    return SearchConfig(**settings)


def _word(name: str, value: Any) -> Any:
    """Undo YAML's reading of "on" and "off" as true and false, where they are values."""
    (known,) = (field for field in dataclasses.fields(SearchConfig) if field.name == name)
    if isinstance(value, bool) and (word := "on" if value else "off") in known.metadata["choices"]:
        return word
    if value is False and known.metadata["read"] in SWITCHES:
        return None
    return value


def settings_as_yaml(config: SearchConfig) -> str:
    """The configuration as YAML text for `--config`."""
    import yaml

    return yaml.safe_dump(config.as_dict(), sort_keys=False, allow_unicode=True)
