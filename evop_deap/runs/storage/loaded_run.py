"""Read a run from its folder, finished or not: for notebooks, reports and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evop_deap.base.data_files import parse_json, read_json, read_utf8
from evop_deap.base.errors import InputError
from evop_deap.base.typed import typed
from evop_deap.calibration.manifest_shapes import ManifestEntry
from evop_deap.runs.storage.file_shapes import GenerationEntry
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.config_files import read_settings

if TYPE_CHECKING:
    from pandas import DataFrame

_Read = TypeVar("_Read")


@dataclass(frozen=True, eq=False)
class Run:
    """The content of a run's folder.

    Attributes:
        folder: the folder.
        settings: the effective settings, as in `config.yaml`.
        rows: one row for each generation so far, as in `history.jsonl`.
        calibration: the manifest of the calibration text; None before it is chosen.
        result: the result; None before the run has ended.

    Example:
        >>> run = Run(Path("runs/demo"), {"model": "demo"}, ({"gen": 0, "min": 3.5},), None, None)
        >>> run.history()["min"].tolist()
        [3.5]
    """

    folder: Path
    settings: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    calibration: Mapping[str, Any] | None
    result: SearchResult | None

    def history(self) -> DataFrame:
        """Return a row for each generation, indexed by "gen": losses in nats a token, and work."""
        import pandas

        return pandas.DataFrame(self.rows).set_index("gen") if self.rows else pandas.DataFrame()


def whole_result(folder: RunFolder) -> SearchResult | None:
    """Return the result of a run whose files are all there, else None: it is then made again."""
    if not folder.result.exists():
        return None
    try:
        result = load_run(folder.path).result
    except InputError:
        return None
    missing = result is None or (result.checkpoint is not None and not folder.model.is_dir())
    return None if missing else result


def load_run(folder: str | Path) -> Run:
    """Read the run in `folder`, which may still be in progress.

    Raises:
        InputError: `folder` holds no run, or one that this version cannot read.
    """
    names = RunFolder(Path(folder))
    if names.config.is_file() and names.is_several:
        each = ", ".join(str(budget.path) for budget in names.budgets) or "none so far"
        raise InputError(
            f"`run` {folder} holds a run for each of several budgets: name one of them ({each})"
        )
    return load_search(folder)


def load_search(folder: str | Path) -> Run:
    """Read the search in `folder`: of a run, or of a front, which has its points in folders below.

    Raises:
        InputError: as of `load_run`.
    """
    names = RunFolder(Path(folder))
    if not names.config.is_file():
        raise InputError(f"`run` {folder} is not the folder of a run: it has no config.yaml")
    manifest = _json(names.calibration)
    if manifest is not None:
        _named(names.calibration, lambda: typed(ManifestEntry, manifest))
    result = _json(names.result)
    return Run(
        folder=Path(folder),
        settings=read_settings(names.config),
        rows=_rows(names.history),
        calibration=manifest,
        result=None
        if result is None
        else _named(names.result, lambda: SearchResult.from_dict(result)),
    )


def _json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, or None without a file."""
    if not path.exists():
        return None
    content = read_json(path, f"`run`: {path}")
    if not isinstance(content, dict):
        raise InputError(f"`run`: {path} holds no JSON object")
    return content


def _named(path: Path, read: Callable[[], _Read]) -> _Read:
    """Return what `read` makes of the content of `path`, whose errors it names."""
    try:
        return read()
    except InputError as error:
        raise InputError(
            f"`run` {path.parent} cannot be read: {path.name}: {error}; search again, or read it "
            "with the version that wrote it"
        ) from error


def _rows(path: Path) -> tuple[Mapping[str, Any], ...]:
    """Return the stored generations, and skip a line that is incomplete."""
    if not path.exists():
        return ()
    rows = []
    for number, line in enumerate(read_utf8(path, f"`run`: {path}").splitlines(), start=1):
        try:
            row = parse_json(line)
        except InputError:
            continue
        if isinstance(row, dict) and "gen" in row:
            _named(Path(f"{path}, line {number}"), partial(typed, GenerationEntry, row))
            rows.append(row)
    return tuple(rows)
