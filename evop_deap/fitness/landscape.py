"""Landscape files: the loss of every pattern of a space, as ground truth for evaluating a search.

A landscape is a compressed NumPy archive (`.npz`) of these arrays:

    patterns   (patterns, units) uint8, 1 = keep, in any order, all different
    sums       (patterns, windows) float64, negative log-likelihood over a window's tokens, nats
    tokens     (windows,) int64, number of predicted tokens of a window
    work       (units,) int64, multiply-adds of a unit per token
    parameters (units,) int64, number of parameters of a unit
    head_work  () int64, multiply-adds of the head per token
    about      () str, a JSON object: "format" (1), "units" (their names), and the origin of the
               numbers; ours give model, corpus, windows, dtype and versions. "looks" may hold the
               scores of heuristics: for each heuristic, "scores" by the unit's name or in the
               order of the units (the lowest is dropped first), and "cost", the cost of
               computing them, which is counted once

The pattern that keeps everything may be included; costs and excess losses refer to it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.base.files import write_bytes
from evop_deap.space import Pattern, SearchSpace, Unit

FORMAT = 1
_ARRAYS = {
    "patterns": np.uint8,
    "sums": np.float64,
    "tokens": np.int64,
    "work": np.int64,
    "parameters": np.int64,
    "head_work": np.int64,
}
_OURS = ("format", "units", "fingerprint")  # keys of `about` that `save_landscape` writes


@dataclass(frozen=True, eq=False)
class Landscape:
    """Known losses of many patterns, by window.

    Attributes:
        units: the units, one for each gene.
        patterns: (patterns, units) uint8, 1 = keep.
        sums: (patterns, windows) negative log-likelihood in nats.
        tokens: (windows,) number of predicted tokens.
        head_work: multiply-adds of the head per token.
        about: plain JSON values on the origin of the numbers.

    Example:
        >>> units = (Unit("0", 10, 10), Unit("1", 10, 10))
        >>> landscape = Landscape(
        ...     units, np.array([[1, 0], [0, 1]], np.uint8), np.array([[30.0], [20.0]]),
        ...     np.array([10]), head_work=5, about={})
        >>> landscape.losses, landscape.spaces()[0].n_drop
        (array([3., 2.]), 1)

    Raises:
        InputError: the shapes or values of the arrays are invalid, or a pattern or a name occurs
            twice.
    """

    units: tuple[Unit, ...]
    patterns: NDArray[np.uint8]
    sums: NDArray[np.float64]
    tokens: NDArray[np.int64]
    head_work: int
    about: Mapping[str, Any]

    def __post_init__(self) -> None:
        if (
            self.tokens.ndim != 1
            or self.patterns.shape[1:] != (len(self.units),)
            or self.sums.shape != self.patterns.shape[:1] + self.tokens.shape
        ):
            raise InputError(
                f"`patterns` {self.patterns.shape}, `sums` {self.sums.shape} and `tokens` "
                f"{self.tokens.shape} of a landscape of {len(self.units)} units do not fit together"
            )
        binary = self.patterns.size > 0 and bool(np.isin(self.patterns, (0, 1)).all())
        if not binary or not self.tokens.size or int(self.tokens.min()) < 1:
            raise InputError("a landscape must hold patterns of 0 and 1, and windows with tokens")
        if len(np.unique(self.patterns, axis=0)) < len(self.patterns):
            raise InputError("`patterns` of a landscape must all be different")
        if len({unit.name for unit in self.units}) < len(self.units):
            raise InputError("names of a landscape's units must all be different")
        if min(self.head_work, *(min(unit.work, unit.parameters) for unit in self.units)) < 0:
            raise InputError("`work`, `parameters` and `head_work` must not be negative")
        if not sum(unit.work for unit in self.units) + self.head_work > 0:
            raise InputError("`work` and `head_work` of a landscape must not all be 0")

    @property
    def losses(self) -> NDArray[np.float64]:
        """(patterns,) mean nats per predicted token."""
        mean: NDArray[np.float64] = self.sums.sum(axis=1) / self.tokens.sum()
        return mean

    @cached_property
    def rows(self) -> dict[Pattern, int]:
        """The row of each pattern."""
        return {tuple(pattern): row for row, pattern in enumerate(self.patterns.tolist())}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the arrays; the same on every machine."""
        digest = hashlib.sha256(json.dumps([unit.name for unit in self.units]).encode())
        for name, array in _as_arrays(self).items():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def spaces(self) -> tuple[SearchSpace, ...]:
        """The spaces whose patterns are all known, by number of dropped units."""
        dropped = len(self.units) - self.patterns.sum(axis=1, dtype=np.int64)
        candidates = (
            SearchSpace(self.units, int(n)) for n in np.unique(dropped) if 0 < n < len(self.units)
        )
        return tuple(s for s in candidates if int((dropped == s.n_drop).sum()) == s.size)


def save_landscape(path: Path, landscape: Landscape) -> None:
    """Write `landscape` at `path`, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    about = {
        **landscape.about,
        "format": FORMAT,
        "units": [unit.name for unit in landscape.units],
        "fingerprint": landscape.fingerprint,
    }
    buffer = io.BytesIO()
    text = np.array(json.dumps(about, ensure_ascii=False, sort_keys=True))
    arrays: dict[str, Any] = {**_as_arrays(landscape), "about": text}
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def load_landscape(path: Path) -> Landscape:
    """Read the landscape at `path`; no code in the file can run.

    Raises:
        InputError: the file cannot be read, is not a landscape, or does not match its fingerprint.
    """
    about, arrays = _read(path)
    if about["format"] != FORMAT:
        raise InputError(f"`landscape` {path} has another format than {FORMAT}")
    try:
        landscape = _assembled(about, arrays)
    except InputError as error:
        raise InputError(f"`landscape` {path} is not a landscape file: {error}") from error
    if about.get("fingerprint") not in (None, landscape.fingerprint):
        raise InputError(f"`landscape` {path} was changed: it does not match its fingerprint")
    return landscape


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read `about` and the known arrays of the file, without conversion."""
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise InputError("it is not a zip archive")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                about = json.loads(str(archive["about"]))
                arrays = {n: np.asarray(archive[n]) for n in _ARRAYS if n in archive}
        if not isinstance(about, dict) or "format" not in about:
            raise InputError("`about` must be a JSON object with a `format`")
    except OSError as error:
        raise InputError(f"`landscape` {path} cannot be read: {_reason(error)}") from error
    except Exception as error:  # archives, arrays and JSON each raise errors of their own
        raise InputError(f"`landscape` {path} is not a landscape file: {_reason(error)}") from error
    return about, arrays


def _reason(error: Exception) -> str:
    message = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(message.split())


def _assembled(about: Mapping[str, Any], given: Mapping[str, NDArray[Any]]) -> Landscape:
    arrays = {name: _exact(name, given.get(name), kind) for name, kind in _ARRAYS.items()}
    names = about.get("units")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("`units` must be a list of names")
    shapes = [arrays[name].shape for name in ("work", "parameters", "head_work")]
    if shapes != [(len(names),), (len(names),), ()]:
        raise InputError(
            f"`work`, `parameters` and `head_work` {shapes} do not fit {len(names)} units"
        )
    columns = zip(names, arrays["parameters"].tolist(), arrays["work"].tolist(), strict=True)
    return Landscape(
        units=tuple(Unit(name, parameters, work) for name, parameters, work in columns),
        patterns=arrays["patterns"],
        sums=arrays["sums"],
        tokens=arrays["tokens"],
        head_work=int(arrays["head_work"]),
        about={key: value for key, value in about.items() if key not in _OURS},
    )


def _exact(name: str, array: NDArray[Any] | None, kind: type[Any]) -> NDArray[Any]:
    """Convert `array` to the dtype of the format, if that changes no number."""
    if array is None:
        raise InputError(f"it lacks `{name}`")
    wanted = np.dtype(kind)
    if array.dtype.kind in ("f" if wanted.kind == "f" else "biu"):
        converted = array.astype(wanted, copy=False)
        if np.array_equal(converted, array, equal_nan=wanted.kind == "f"):
            return converted
    raise InputError(f"`{name}` of {array.dtype} must hold nothing but {wanted}")


def _as_arrays(landscape: Landscape) -> dict[str, NDArray[Any]]:
    columns: dict[str, Any] = {
        "patterns": landscape.patterns,
        "sums": landscape.sums,
        "tokens": landscape.tokens,
        "work": [unit.work for unit in landscape.units],
        "parameters": [unit.parameters for unit in landscape.units],
        "head_work": landscape.head_work,
    }
    return {name: np.asarray(columns[name], dtype=kind) for name, kind in _ARRAYS.items()}
