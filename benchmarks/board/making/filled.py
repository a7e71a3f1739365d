"""A board's command: make what is missing, print the tables."""

from __future__ import annotations

import sys
from collections.abc import Callable

from evop_deap.base.errors import EvopError


def filled(fill: Callable[[], object] | None, tables: Callable[[], str]) -> int:
    """Make the missing cells, print the tables of all, and return the exit code.

    Args:
        fill: makes them, and returns a true value if any failed; None to make none.
        tables: returns the tables.
    """
    try:
        failed = 0 if fill is None else fill()
        print(tables())
    except EvopError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ninterrupted; the same command makes what is missing", file=sys.stderr)
        return 130
    return 1 if failed else 0
