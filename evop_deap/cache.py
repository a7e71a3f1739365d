"""Look into the losses that searches have kept for one another, or remove them.

The file is made by the first search; `info` and `clear` may run while searches do.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError, OutputError
from evop_deap.base.formatting import mebibytes
from evop_deap.base.user_folders import LOSSES_FILE
from evop_deap.settings.parser import Parser, answer

if TYPE_CHECKING:
    from evop_deap.fitness.store import ContextSummary, LossStore

_MAGIC = b"SQLite format 3\0"
_EXAMPLES = """examples:
  what is kept, for which models, and where:
    python -m evop_deap.cache info
  remove everything, or what was kept in contexts that begin alike:
    python -m evop_deap.cache clear
    python -m evop_deap.cache clear --context 3f9a
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    return answer(parser.prog, lambda: _answer(given))


def _answer(given: argparse.Namespace) -> str:
    path = _default_path() if given.path is None else Path(given.path)
    _check_kind(path)
    return _info(path) if given.command == "info" else _clear(path, given.context)


def _default_path() -> Path:
    from evop_deap.base.user_folders import cache_folder

    return cache_folder() / LOSSES_FILE


def _check_kind(path: Path) -> None:
    """Refuse a file that never was a store: opening it as one would move it aside."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"`path` {path} cannot be read: {error.strerror}") from error
    if start not in (_MAGIC, b""):
        raise InputError(f"`path` must be a store of losses, but {path} is no SQLite database")


def _open(path: Path) -> LossStore:
    from evop_deap.fitness.store import LossStore

    messages: list[str] = []
    store = LossStore(path, on_damage=messages.append)
    if not store.persistent:
        store.close()
        raise OutputError(messages[0])
    for message in messages:
        print(message, file=sys.stderr)  # noqa: T201
    return store


def _info(path: Path) -> str:
    if not path.exists():
        return f"{path}: nothing is kept"
    with _open(path) as store:
        contexts = store.summary()
    lines = [_table(contexts), ""] if contexts else []
    sums = sum(context.rows for context in contexts)
    lines.append(f"{path}: {sums:,} window sums, {mebibytes(_size(path))}")
    lines += [f"{aside}: damaged, {mebibytes(_size(aside))}" for aside in _set_aside(path)]
    return "\n".join(lines)


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


def _clear(path: Path, prefix: str | None) -> str:
    if not path.exists() and not _set_aside(path):
        return f"{path}: nothing is kept"
    before = _size(path)
    with _open(path) as store:
        if prefix is None:
            sums = store.clear()
        else:
            chosen = [c.context for c in store.summary() if c.context.startswith(prefix)]
            if not chosen:
                raise InputError(f"`context` must begin a stored one, but got '{prefix}'")
            sums = sum(store.clear(context) for context in chosen)
    freed = before - _size(path)
    if prefix is None:
        for aside in _set_aside(path):
            freed += _size(aside)
            for part in _parts(aside):
                part.unlink(missing_ok=True)
    return f"{path}: removed {sums:,} window sums, {mebibytes(max(freed, 0))}"


def _set_aside(path: Path) -> list[Path]:
    """The damaged files that stores have moved out of their way."""
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    start = f"{path.name}.damaged-"
    found = [name for name in names if name.startswith(start) and name[len(start) :].isdigit()]
    return [path.with_name(name) for name in sorted(found)]


def _parts(path: Path) -> list[Path]:
    return [Path(f"{path}{end}") for end in ("", "-wal", "-shm", "-journal")]


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in _parts(path) if part.exists())


def _parser() -> argparse.ArgumentParser:
    description, _, _ = (__doc__ or "").partition("\n\n")
    parser = Parser(
        prog="python -m evop_deap.cache",
        description=description,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--path",
        metavar="FILE",
        help=f"the store (default: {LOSSES_FILE} in the folder EVOP_CACHE, or the user's cache)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{info,clear}")
    commands.add_parser("info", help="what is kept, for which contexts, and where")
    clear = commands.add_parser("clear", help="remove everything, or some contexts")
    clear.add_argument("--context", metavar="PREFIX", help="only contexts that begin so")
    return parser


if __name__ == "__main__":
    sys.exit(main())
