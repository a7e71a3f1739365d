"""Inspecting and clearing a store's file, for the `cache` command."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from evop_deap.base.errors import InputError, OutputError
from evop_deap.base.formatting import mebibytes
from evop_deap.base.user_text import shown
from evop_deap.fitness.store.loss_store import LossStore
from evop_deap.fitness.store.queries import ContextSummary

_MAGIC = b"SQLite format 3\0"

Tell = Callable[[str], object]
"""Called with a one-line report of damage to the file."""


def what_is_kept(path: Path, tell: Tell) -> str:
    """Return a line for each context of the store at `path`, and the sizes of its files.

    Raises:
        InputError: `path` is not a store, or cannot be read.
        OutputError: the store cannot be opened.
    """
    _check_kind(path)
    if not path.exists():
        return f"{path}: nothing is kept"
    with _open(path, tell) as store:
        contexts = store.summary()
    lines = [_table(contexts), ""] if contexts else []
    sums = sum(context.rows for context in contexts)
    lines.append(f"{path}: {sums:,} window sums, {mebibytes(_size(path))}")
    lines += [f"{aside}: damaged, {mebibytes(_size(aside))}" for aside in _set_aside(path)]
    return "\n".join(lines)


def clear(path: Path, prefix: str | None, tell: Tell) -> str:
    """Remove all contexts of the store at `path`, or those that begin with `prefix`.

    Raises:
        InputError: `path` is not a store, or no context begins with `prefix`.
        OutputError: the store cannot be opened.
    """
    if prefix == "":
        raise InputError("`context` must not be empty: leave it out to remove everything")
    _check_kind(path)
    if not path.exists() and not _set_aside(path):
        return f"{path}: nothing is kept"
    before = _size(path)
    with _open(path, tell) as store:
        if prefix is None:
            sums = store.clear()
        else:
            known = [c.context for c in store.summary()]
            chosen = [context for context in known if context.startswith(prefix)]
            if not chosen:
                like = f", such as {shown(known[0])}" if known else ", and none is stored"
                raise InputError(f"`context` must begin a stored one{like}, but got '{prefix}'")
            sums = sum(store.clear(context) for context in chosen)
    freed = before - _size(path)
    if prefix is None:
        for aside in _set_aside(path):
            freed += _size(aside)
            for part in _parts(aside):
                part.unlink(missing_ok=True)
    return f"{path}: removed {sums:,} window sums, {mebibytes(max(freed, 0))}"


def _check_kind(path: Path) -> None:
    """Refuse a file that is not a database: opening it as a store would rename it as damaged."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"`path` {path} cannot be read: {error.strerror}") from error
    if start not in (_MAGIC, b""):
        raise InputError(f"`path` must be a store of losses, but {path} is not an SQLite database")


def _open(path: Path, tell: Tell) -> LossStore:
    messages: list[str] = []
    store = LossStore(path, on_damage=messages.append)
    if not store.persistent:
        store.close()
        raise OutputError(messages[0])
    for message in messages:
        tell(message)
    return store


def _table(contexts: Sequence[ContextSummary]) -> str:
    head = ("last used", "patterns", "windows", "sums", "size", "context")
    rows = [
        (
            time.strftime("%Y-%m-%d %H:%M", time.localtime(context.used)),
            f"{context.patterns:,}",
            f"{context.windows:,}",
            f"{context.rows:,}",
            mebibytes(context.size),
            context.context,
        )
        for context in contexts
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)][:-1]
    return "\n".join(
        "  ".join([*map(str.rjust, row[:-1], widths), row[-1]]) for row in (head, *rows)
    )


def _set_aside(path: Path) -> list[Path]:
    """The damaged files that were renamed."""
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    start = f"{path.name}.damaged-"
    found = [name for name in names if name.startswith(start) and name[len(start) :].isdigit()]
    return [path.with_name(name) for name in sorted(found)]


def _parts(path: Path) -> list[Path]:
    return [Path(f"{path}{end}") for end in ("", "-wal", "-shm", "-journal")]


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in _parts(path) if part.exists())
