"""Removing rows from a database, to keep to a size limit or on a user's request."""

from __future__ import annotations

import sqlite3

from evop_deap.fitness.store.database import TABLES, transaction, used_bytes
from evop_deap.fitness.store.queries import context_id

_PRUNED_PATTERNS = 64  # smallest number of patterns removed in a transaction


def prune(connection: sqlite3.Connection, target: int) -> None:
    """Remove the oldest patterns of the least recently used contexts, down to `target` bytes."""
    while used_bytes(connection) > target:
        with transaction(connection):
            before = connection.total_changes
            oldest = connection.execute("SELECT id FROM contexts ORDER BY used LIMIT 1").fetchone()
            if oldest is None:
                # Only rows that lost their context through damage are left.
                _empty(connection)
                break
            of_context = "FROM patterns WHERE context = ?"
            (count,) = connection.execute(f"SELECT count(*) {of_context}", oldest).fetchone()
            share = max(count // 8, _PRUNED_PATTERNS)
            going = f"SELECT id {of_context} ORDER BY id LIMIT {share}"
            connection.execute(f"DELETE FROM losses WHERE pattern IN ({going})", oldest)
            connection.execute(f"DELETE FROM patterns WHERE id IN ({going})", oldest)
            if count <= share:
                connection.execute("DELETE FROM contexts WHERE id = ?", oldest)
            if connection.total_changes == before:
                raise sqlite3.DatabaseError("its oldest rows cannot be removed")
    _shrink(connection)


def clear_rows(connection: sqlite3.Connection, context: bytes | None) -> int:
    """Remove one context, or all with None; return the number of window sums removed."""
    with transaction(connection):
        (before,) = connection.execute("SELECT count(*) FROM losses").fetchone()
        if context is None:
            _empty(connection)
        else:
            owner = (context_id(connection, context),)
            connection.execute(
                "DELETE FROM losses WHERE pattern IN (SELECT id FROM patterns WHERE context = ?)",
                owner,
            )
            connection.execute("DELETE FROM patterns WHERE context = ?", owner)
            connection.execute("DELETE FROM contexts WHERE id = ?", owner)
        (after,) = connection.execute("SELECT count(*) FROM losses").fetchone()
    _shrink(connection)
    return int(before - after)


def _empty(connection: sqlite3.Connection) -> None:
    for name in TABLES:
        connection.execute(f"DELETE FROM {name}")


def _shrink(connection: sqlite3.Connection) -> None:
    """Delete windows without losses, and return free pages to the file system."""
    with transaction(connection):
        connection.execute("DELETE FROM windows WHERE id NOT IN (SELECT window FROM losses)")
    # Each step of this statement frees one page; only `executescript` runs all steps.
    connection.executescript("PRAGMA incremental_vacuum")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
