"""Named settings of the evolution that ship with the project, for `--preset`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.settings.config_files import read_settings

_BUDGETS = ("sparsity", "budget")


def preset_names() -> list[str]:
    """The names of all presets, sorted."""
    return sorted(
        file.name.removesuffix(".yaml")
        for file in files(__name__).iterdir()
        if file.name.endswith(".yaml")
    )


def preset_settings(name: str) -> dict[str, Any]:
    """The settings of a preset.

    Example:
        >>> preset_settings("default")["population"]
        4

    Raises:
        InputError: there is no such preset.
    """
    if name not in preset_names():
        raise InputError(f"`preset` must be {' or '.join(preset_names())}, but got '{name}'")
    with as_file(files(__name__) / f"{name}.yaml") as path:
        return read_settings(path)


def layered_settings(
    preset: str | None, file: str | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Merge settings: `given` override those of the YAML file, which override the preset's.

    A budget of one kind, `sparsity` or `budget`, takes the place of one of the other.

    Raises:
        InputError: there is no such preset, or the file cannot be used.
    """
    merged = preset_settings(preset) if preset else {}
    for layer in (read_settings(Path(file)) if file else {}, given):
        if any(layer.get(kind) for kind in _BUDGETS):
            merged = {name: value for name, value in merged.items() if name not in _BUDGETS}
        merged = {**merged, **layer}
    return merged
