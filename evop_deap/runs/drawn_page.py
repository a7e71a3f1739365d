"""Pages that show a run: one that cannot be drawn takes nothing from the run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from evop_deap.base.errors import one_line


def draw_page(page: Path, draw: Callable[[], object], warn: Callable[[str], object]) -> None:
    """Draw a page; a failure is a warning and not an error.

    An older page is removed then, because it shows something else.

    Args:
        page: file of the page.
        draw: writes it.
        warn: called with a line if that fails.
    """
    try:
        draw()
    except Exception as error:  # the model and the result matter more, whatever happens here
        with suppress(OSError):
            page.unlink(missing_ok=True)
        reason = one_line(f"{type(error).__name__}: {error}")
        warn(f"no {page.name}, everything else is written ({reason})")
