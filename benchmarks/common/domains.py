"""The true domain of each document of a mixed corpus."""

from __future__ import annotations

import json
from pathlib import Path

from evop_deap.base.errors import InputError


def domains_of(corpus: str) -> dict[str, str]:
    """The true domain of each document, by its id."""
    try:
        # Texts may contain other line separators than "\n".
        lines = Path(corpus).read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line]
        return {row["id"]: row["domain"] for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"`corpus` {corpus} must be JSON lines with `id`, `domain` and `text`: {error!r}"
        ) from error
