"""Why a folder has no result of a run."""

from __future__ import annotations

from pathlib import Path

RESULT = "result.json"
_MOST = 8


def why_no_result(folder: Path) -> str | None:
    """Return why a folder has no result of a run, and what would do; None if it has one.

    Several budgets, or a front, have a run each in folders of their own.
    """
    if (folder / RESULT).is_file():
        return None
    if not folder.is_dir():
        return "it does not exist" if not folder.exists() else "it is a file"
    runs = sorted(path.parent for path in folder.glob(f"*/{RESULT}"))
    if runs:
        more = f" and {len(runs) - _MOST} more" if len(runs) > _MOST else ""
        each = ", ".join(map(str, runs[:_MOST]))
        return f"it holds several runs: name one of them ({each}{more})"
    if (folder / "config.yaml").is_file():
        return f"it has no {RESULT} yet: finish it with --resume"
    return f"it has no {RESULT}"
