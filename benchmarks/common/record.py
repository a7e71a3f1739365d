"""Metadata of a measurement, and helpers for tables and errors."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evop_deap.base.errors import EvopError

_PACKAGES = ("evop_deap", "torch", "transformers", "deap", "numpy")


def circumstances() -> dict[str, Any]:
    """Versions, machine and commit, for the top of a JSON file."""
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), **_accelerator()}
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "machine": machine,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def commit() -> str | None:
    """The commit of this code, with "+" if files were changed since; None outside git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, check=True, text=True
        )
        status = [*git, "status", "--porcelain", "--untracked-files=no"]
        changed = subprocess.run(status, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def without_folders(settings: Mapping[str, Any], *places: str) -> dict[str, Any]:
    """Settings in which files have their names alone: where they lie is nobody's business.

    Args:
        settings: what a result keeps.
        places: the settings that are a path, or several; what is not given stays as it is.

    Example:
        >>> without_folders({"corpus": "texts/mixed.jsonl", "other": None}, "corpus", "other")
        {'corpus': 'mixed.jsonl', 'other': None}
    """
    named = {place: _name_of(settings[place]) for place in places if settings.get(place)}
    return {**settings, **named}


def _name_of(place: str | Path | Sequence[str | Path]) -> str | list[str]:
    return Path(place).name if isinstance(place, str | Path) else [Path(one).name for one in place]


def _accelerator() -> dict[str, str]:
    # Only of a program that has PyTorch anyway: importing it takes seconds.
    torch = sys.modules.get("torch")
    if not torch or not torch.cuda.is_available():
        return {}
    # "highest" is float32 throughout, "high" is products of TF32.
    precision = torch.get_float32_matmul_precision()
    return {"accelerator": torch.cuda.get_device_name(), "float32_products": precision}


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Exit with the message and the exit code of an `EvopError`."""
    try:
        yield
    except EvopError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Format rows as a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table_rows(table: str) -> dict[str, list[str]]:
    """The cells of each row of a Markdown table, by the first cell; without the header."""
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {first: rest for first, *rest in cells}
