"""What every measurement says of itself."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from evop_deap.errors import EvopError

_PACKAGES = ("evop_deap", "torch", "transformers", "deap", "numpy")


def circumstances() -> dict[str, Any]:
    """Versions and machine, for the top of a JSON file."""
    machine = {"processor": platform.machine(), "cores": os.cpu_count()}
    if (accelerator := _accelerator()) is not None:
        machine["accelerator"] = accelerator
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "machine": machine,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def _accelerator() -> str | None:
    # Only of a program that has PyTorch anyway: importing it takes seconds.
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """What the library refuses ends the program with its message and its exit code."""
    try:
        yield
    except EvopError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Rows as a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
