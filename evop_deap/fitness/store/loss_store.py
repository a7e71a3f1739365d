"""The loss store, which works even if its file is damaged, replaced or missing."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError, not_pickled
from evop_deap.fitness.store.database import (
    FAILURES,
    connect,
    identity,
    is_damage,
    locked,
    used_bytes,
)
from evop_deap.fitness.store.queries import (
    ContextSummary,
    delete_rows,
    insert_rows,
    read_rows,
    summarize,
    touch_context,
)
from evop_deap.fitness.store.rows import Found, Row, encoded, packed, positions, sealed
from evop_deap.fitness.store.salvage import salvage, set_aside
from evop_deap.fitness.store.trimming import clear_rows, prune
from evop_deap.space import Pattern

T = TypeVar("T")
_LEAST_BYTES = 1 << 16
_KEPT_SHARE = 0.8  # of the limit, so that pruning is rare


class LossStore:
    """Window sums by context, pattern and window; many processes can share one file.

    No damage to the file makes a search fail. A damaged row is deleted. A damaged file is renamed
    and its readable rows are copied to a new one. If nothing can be written, the store is kept in
    memory. Each kind of problem is reported once.

    Args:
        path: the file; it and its folder are created if missing.
        limit_bytes: size limit; above it, the oldest patterns of the contexts that were unused
            for longest are removed.
        on_damage: called with a one-line report of a problem; by default a `RuntimeWarning`.

    Example:
        >>> with LossStore(Path("losses.sqlite")) as store:
        ...     store.put("model, dtype", [(1, 0)], ["hash of a window"], [[2.5]])
        ...     store.get("model, dtype", [(1, 0), (0, 1)], ["hash of a window"])
        array([[2.5],
               [nan]])

    Raises:
        InputError: the limit is below 64 KiB, or `path` is a database of another program.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit_bytes: int = 1 << 30,
        on_damage: Callable[[str], object] | None = None,
    ) -> None:
        if limit_bytes < _LEAST_BYTES:
            raise InputError(f"`limit_bytes` must be at least {_LEAST_BYTES}, got {limit_bytes}")
        self.path = Path(path)
        self.damaged_rows = 0
        self._limit_bytes = limit_bytes
        self._on_damage = on_damage or _warn
        self._reported: set[str] = set()
        self._touched: set[bytes] = set()
        self._identity: tuple[int, int] | None = None
        self._connection = self._open()

    def get(
        self, context: str, patterns: Sequence[Pattern], windows: Sequence[str]
    ) -> NDArray[np.float64]:
        """(patterns, windows) stored sums, bit for bit; NaN where nothing is stored."""
        name = encoded(context)
        bits, names = [packed(p) for p in patterns], [encoded(w) for w in windows]
        rows, columns = positions(bits), positions(names)
        table = np.full((len(rows), len(columns)), np.nan)
        nothing: list[Found] = []
        damaged = self._run(lambda c: read_rows(c, name, rows, columns, table), nothing)
        if damaged:
            self._drop(damaged)
        elif name not in self._touched:
            self._touched.add(name)
            self._run(lambda c: touch_context(c, name), None)
        return table[np.ix_([rows[b] for b in bits], [columns[w] for w in names])]

    def put(
        self,
        context: str,
        patterns: Sequence[Pattern],
        windows: Sequence[str],
        sums: NDArray[np.float64] | Sequence[Sequence[float]],
    ) -> None:
        """Store (patterns, windows) sums in one transaction, without NaN and stored ones.

        Raises:
            InputError: the sums have another shape.
        """
        table = np.asarray(sums, dtype="<f8")
        if table.shape != (len(patterns), len(windows)):
            raise InputError(
                f"`sums` must be of shape {(len(patterns), len(windows))}, but got {table.shape}"
            )
        name = encoded(context)
        rows = sealed(name, [packed(p) for p in patterns], [encoded(w) for w in windows], table)
        if rows:
            self._touched.add(name)
            self._run(lambda c: self._write(c, name, rows), None)

    @property
    def persistent(self) -> bool:
        """Whether sums are stored in the file, not only in memory."""
        return self._identity is not None

    def summary(self) -> list[ContextSummary]:
        """Return a summary of each context, the most recently used first."""
        return self._run(summarize, [])

    def clear(self, context: str | None = None) -> int:
        """Remove one context, or all of them; return the number of window sums removed."""
        name = None if context is None else encoded(context)
        return self._run(lambda c: clear_rows(c, name), 0)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __getstate__(self) -> NoReturn:
        raise not_pickled(self, "an open file")

    def __enter__(self) -> LossStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Return the result of `work`, if needed on a new file; `otherwise` if it fails."""
        for attempt in range(2):
            try:
                return work(self._current())
            except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
                raise
            except FAILURES as error:
                if is_damage(error) and not attempt:
                    self._connection.close()
                    self._connection = self._open(error)
                    continue
                self._report("failed", f"{self.path} could not be used this time: {error}")
        return otherwise

    def _current(self) -> sqlite3.Connection:
        """The connection; reopened if the file at the path was replaced."""
        if self._identity is not None and identity(self.path) != self._identity:
            self._connection.close()
            self._connection = self._open()
        return self._connection

    def _open(self, damage: Exception | None = None) -> sqlite3.Connection:
        """Open the file, or a database in memory if that fails.

        Args:
            damage: the error that showed that the current file is damaged, if any.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path):
                # Another process may have replaced the damaged file before this lock was taken.
                if damage is not None and identity(self.path) == self._identity:
                    connection = self._replace(damage)
                else:
                    try:
                        connection = connect(self.path)
                    except FAILURES as error:
                        if not is_damage(error):
                            raise
                        connection = self._replace(error)
                self._identity = identity(self.path)
                return connection
        except (OSError, *FAILURES) as error:
            self._report("unusable", f"{self.path} cannot be used, losses are not kept: {error}")
            self._identity = None
            return connect(None)

    def _replace(self, damage: Exception) -> sqlite3.Connection:
        aside = set_aside(self.path)
        connection = connect(self.path)
        rows = salvage(aside, connection)
        reason = "unreadable names" if isinstance(damage, UnicodeDecodeError) else damage
        self._report(
            "damaged", f"{self.path} is damaged ({reason}): moved to {aside.name}, {rows} rows kept"
        )
        return connection

    def _write(self, connection: sqlite3.Connection, context: bytes, rows: list[Row]) -> None:
        insert_rows(connection, context, rows)
        if used_bytes(connection) > self._limit_bytes:
            prune(connection, int(_KEPT_SHARE * self._limit_bytes))

    def _drop(self, damaged: list[Found]) -> None:
        self.damaged_rows += len(damaged)
        self._report("rows", f"{self.path} has damaged rows: dropped, and evaluated again")
        self._run(lambda c: delete_rows(c, damaged), None)

    def _report(self, kind: str, message: str) -> None:
        if kind not in self._reported:
            self._reported.add(kind)
            self._on_damage(message)


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)
