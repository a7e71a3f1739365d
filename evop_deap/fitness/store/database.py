"""The SQLite database of the store: tables, connections, transactions and damage detection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.fitness.store.rows import encoded

TABLES = {
    "contexts": "CREATE TABLE contexts (id INTEGER PRIMARY KEY, name BLOB UNIQUE, used REAL)",
    "windows": "CREATE TABLE windows (id INTEGER PRIMARY KEY, name BLOB UNIQUE)",
    "patterns": "CREATE TABLE patterns (id INTEGER PRIMARY KEY, context INTEGER, bits BLOB, "
    "UNIQUE (context, bits))",
    "losses": "CREATE TABLE losses (pattern INTEGER, window INTEGER, value BLOB, "
    "PRIMARY KEY (pattern, window)) WITHOUT ROWID",
}
_BUSY_SECONDS = 30.0
_WRITE_VERSION_AT = 18  # byte of the file header; SQLite's versions are 1 and 2
_DAMAGE = ("no such", "malformed", "unsupported file format")
_READ_ONLY = "attempt to write a readonly database"
# SQLite's messages may quote bytes of a damaged file that are not UTF-8.
FAILURES = (sqlite3.Error, UnicodeDecodeError)


def connect(path: Path | None) -> sqlite3.Connection:
    """Open a file, or a database in memory if `path` is None, and create missing tables.

    Raises:
        InputError: the file is a database of another program.
        sqlite3.Error: the file is damaged or cannot be opened.
    """
    connection = sqlite3.connect(path or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        # Text in a damaged file may not be UTF-8.
        connection.text_factory = bytes
        connection.execute("PRAGMA cell_size_check = ON")
        tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"))
        expected = {encoded(name): encoded(sql) for name, sql in TABLES.items()}
        if tables and not tables.keys() & expected.keys():
            raise InputError(f"{path} is a database of another program: give another path")
        if tables and tables != expected:
            raise sqlite3.DatabaseError("its tables are not those of this version")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        # Some network file systems do not support WAL; they keep the default journal.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with transaction(connection):
            for name, sql in TABLES.items():
                if encoded(name) not in tables:
                    connection.execute(sql)
    except BaseException as error:
        connection.close()
        # Read the header only now: closing the file releases all locks of this process on it.
        if path is not None and str(error).startswith(_READ_ONLY) and _is_of_unknown_version(path):
            raise sqlite3.DatabaseError("its header names an unknown version") from error
        raise
    return connection


def _is_of_unknown_version(path: Path) -> bool:
    """Whether the header has a write version that SQLite does not support."""
    with path.open("rb") as file:
        return file.read(_WRITE_VERSION_AT + 1)[_WRITE_VERSION_AT:] > b"\2"


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Run the body in a transaction: all of its statements take effect, or none."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # On a full disk SQLite rolls back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock `path` against being opened or replaced by other processes; a kill releases the lock."""
    with closing(sqlite3.connect(f"{path}.lock", timeout=_BUSY_SECONDS)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file, which change when it is replaced; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_damage(error: Exception) -> bool:
    """Whether the error is due to a damaged file, not to a full disk, a lock or missing rights."""
    return not isinstance(error, sqlite3.OperationalError) or str(error).startswith(_DAMAGE)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def used_bytes(connection: sqlite3.Connection) -> int:
    """Size in bytes of the pages in use."""
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return pages * _pragma(connection, "page_size")
