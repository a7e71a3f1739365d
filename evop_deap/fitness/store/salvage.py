"""Recovery from a damaged file: rename it, and copy its readable rows to a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from zlib import crc32

from evop_deap.fitness.store.database import FAILURES
from evop_deap.fitness.store.queries import insert_rows
from evop_deap.fitness.store.rows import chunks, is_sound

_SALVAGED_ROWS = 1_000_000  # from either end; takes at most seconds
_SALVAGE_CHUNK = 10_000


def set_aside(path: Path) -> Path:
    """Rename a database and its journals to the first free `.damaged-<n>`."""
    taken = {other.name for other in path.parent.iterdir()}
    number = next(n for n in range(1, len(taken) + 2) if f"{path.name}.damaged-{n}" not in taken)
    aside = path.with_name(f"{path.name}.damaged-{number}")
    path.rename(aside)
    for journal in ("-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            Path(f"{path}{journal}").rename(f"{aside}{journal}")
    return aside


def salvage(damaged: Path, target: sqlite3.Connection) -> int:
    """Copy the sound rows that can be read from either end; return how many `target` has."""
    for direction in ("ASC", "DESC"):
        with suppress(*FAILURES), closing(sqlite3.connect(damaged)) as source:
            source.text_factory = bytes
            rows = source.execute(
                "SELECT c.name, p.bits, w.name, l.value FROM losses l "
                "CROSS JOIN patterns p ON p.id = l.pattern "
                "CROSS JOIN contexts c ON c.id = p.context "
                "CROSS JOIN windows w ON w.id = l.window "
                f"ORDER BY l.pattern {direction}, l.window {direction} LIMIT {_SALVAGED_ROWS}"
            )
            for some in chunks(_sound_rows(rows), _SALVAGE_CHUNK):
                for context, group in groupby(sorted(some), key=itemgetter(0)):
                    insert_rows(target, context, [row[1:] for row in group])
    return int(target.execute("SELECT count(*) FROM losses").fetchone()[0])


def _sound_rows(rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Yield rows with a correct checksum, up to the first row that cannot be read."""
    with suppress(*FAILURES):
        for context, bits, window, value in rows:
            if (
                isinstance(context, bytes)
                and isinstance(bits, bytes)
                and isinstance(window, bytes)
                and isinstance(value, bytes)
                and is_sound(value, window, crc32(bits, crc32(context)))
            ):
                yield context, bits, window, value
