"""The queries of the store: find, add, remove and count rows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from evop_deap.fitness.store.database import transaction, used_bytes
from evop_deap.fitness.store.rows import VALUE, Found, Row, chunks, is_sound

_VARIABLES = 500  # older SQLite takes at most 999 a statement
_UNASKED = (None, 0)


@dataclass(frozen=True)
class ContextSummary:
    """The content of a store for one context.

    Attributes:
        context: its name, as given to `LossStore.put`.
        rows: number of window sums.
        patterns: number of different patterns.
        windows: number of different windows.
        size: bytes of the file, in proportion to the rows.
        used: time of the last read or write, in seconds since the epoch.
    """

    context: str
    rows: int
    patterns: int
    windows: int
    size: int
    used: float


def read_rows(
    connection: sqlite3.Connection,
    context: bytes,
    rows: dict[bytes, int],
    columns: dict[bytes, int],
    table: NDArray[np.float64],
) -> list[Found]:
    """Fill `table` with the stored sums.

    Args:
        connection: to the database.
        context: encoded name of the context.
        rows: row of the table of each packed pattern.
        columns: column of the table of each encoded window.
        table: (patterns, windows), filled in place.

    Returns:
        Keys and values of damaged rows.
    """
    damaged: list[Found] = []
    at_rows, at_columns, values = [], [], []
    # Use one snapshot: another process may prune between two statements and change the ids.
    with transaction(connection, "DEFERRED"):
        owner = context_id(connection, context)
        ids = _numbers(connection, "SELECT name, id FROM windows WHERE name IN", columns)
        wanted = {ids[name]: (name, at) for name, at in columns.items() if name in ids}
        if owner is None or not wanted:
            return []
        start = crc32(context)
        lines = {bits: (at, crc32(bits, start)) for bits, at in rows.items()}
        for some in chunks(rows, _VARIABLES):
            for number, bits, window, value in connection.execute(
                "SELECT l.pattern, p.bits, l.window, l.value FROM patterns p "
                "CROSS JOIN losses l ON l.pattern = p.id AND l.window BETWEEN ? AND ? "
                f"WHERE p.context = ? AND p.bits IN ({','.join('?' * len(some))})",
                (min(wanted), max(wanted), owner, *some),
            ):
                if window in wanted:
                    name, column = wanted[window]
                    row, seed = lines.get(bits, _UNASKED)
                    if row is not None and is_sound(value, name, seed):
                        at_rows.append(row)
                        at_columns.append(column)
                        values.append(value)
                    else:
                        damaged.append((number, window, value))
    if values:
        table[at_rows, at_columns] = np.frombuffer(b"".join(values), VALUE)["sum"]
    return damaged


def insert_rows(connection: sqlite3.Connection, context: bytes, rows: list[Row]) -> None:
    """Add rows in one transaction; existing rows are not changed."""
    patterns = dict.fromkeys(bits for bits, _, _ in rows)
    windows = dict.fromkeys(window for _, window, _ in rows)
    with transaction(connection):
        connection.execute("INSERT OR IGNORE INTO contexts (name) VALUES (?)", (context,))
        _set_used(connection, context)
        owner = context_id(connection, context)
        connection.executemany(
            "INSERT OR IGNORE INTO windows (name) VALUES (?)", [(name,) for name in windows]
        )
        connection.executemany(
            "INSERT OR IGNORE INTO patterns (context, bits) VALUES (?, ?)",
            [(owner, bits) for bits in patterns],
        )
        places = _numbers(connection, "SELECT name, id FROM windows WHERE name IN", windows)
        numbers = _numbers(
            connection,
            "SELECT bits, id FROM patterns WHERE context = ? AND bits IN",
            patterns,
            owner,
        )
        connection.executemany(
            "INSERT OR IGNORE INTO losses VALUES (?, ?, ?)",
            [
                (numbers[bits], places[window], value)
                for bits, window, value in rows
                if bits in numbers and window in places
            ],
        )


def touch_context(connection: sqlite3.Connection, context: bytes) -> None:
    """Set the time of last use of a context to now, if it is stored."""
    if context_id(connection, context) is not None:
        with transaction(connection):
            _set_used(connection, context)


def _set_used(connection: sqlite3.Connection, context: bytes) -> None:
    connection.execute("UPDATE contexts SET used = ? WHERE name = ?", (time.time(), context))


def delete_rows(connection: sqlite3.Connection, rows: list[Found]) -> None:
    """Delete rows that still have the given value: another process may have corrected them."""
    with transaction(connection):
        connection.executemany(
            "DELETE FROM losses WHERE pattern = ? AND window = ? AND value IS ?", rows
        )


def summarize(connection: sqlite3.Connection) -> list[ContextSummary]:
    """Return a summary of each context, the most recently used first."""
    with transaction(connection, "DEFERRED"):
        used = used_bytes(connection)
        counted = connection.execute(
            "SELECT c.name, c.used, count(*), count(DISTINCT l.pattern), count(DISTINCT l.window) "
            "FROM losses l JOIN patterns p ON p.id = l.pattern "
            "JOIN contexts c ON c.id = p.context GROUP BY c.id ORDER BY c.used DESC"
        ).fetchall()
    total = sum(row[2] for row in counted)
    return [
        ContextSummary(
            context=name.decode("utf-8", "replace") if isinstance(name, bytes) else repr(name),
            rows=rows,
            patterns=patterns,
            windows=windows,
            size=used * rows // total,
            used=when if isinstance(when, float) else 0.0,
        )
        for name, when, rows, patterns, windows in counted
    ]


def context_id(connection: sqlite3.Connection, context: bytes) -> int | None:
    """The id of a context; None if it is not stored."""
    row = connection.execute("SELECT id FROM contexts WHERE name = ?", (context,)).fetchone()
    return None if row is None else row[0]


def _numbers(
    connection: sqlite3.Connection, select: str, keys: Iterable[bytes], *first: object
) -> dict[bytes, int]:
    """The ids of the keys, found by a SELECT statement that ends in `IN`."""
    found = {}
    for some in chunks(keys, _VARIABLES):
        places = ",".join("?" * len(some))
        for key, number in connection.execute(f"{select} ({places})", (*first, *some)):
            found[key] = number
    return found
