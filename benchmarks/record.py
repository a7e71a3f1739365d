"""What every measurement says of itself."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import version
from typing import Any

_PACKAGES = ("evop_deap", "torch", "transformers", "deap", "numpy")


def circumstances() -> dict[str, Any]:
    """Versions and machine, for the top of a JSON file."""
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Rows as a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
