"""Reading of local files with the `datasets` library: the rows of a table, or a whole text."""

from __future__ import annotations

import glob
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.text.documents import Document, normalised
from evop_deap.text.file_types import READABLE_SUFFIXES, TABLES, is_table, obstacle, suffix_of
from evop_deap.text.json_rows import check_json_rows
from evop_deap.text.split_text import split_text
from evop_deap.text.table_headers import check_header

_HEAD_ROWS = 100


def read_documents(
    path: Path, *, name: str, text_column: str | None, used_ids: set[str]
) -> Iterator[Document]:
    """Yield the documents of one file, named by their `id` if it is new, else `name#row`.

    A file of an unknown type is read as text. Rows are counted from 0 and include those without
    text. In a text, the documents cut from it are counted.

    Args:
        path: a file; a packed one is unpacked while reading.
        name: the first part of `name#row`.
        text_column: the column that holds the text; None takes `text`, or the only column of
            strings.
        used_ids: ids used so far; the ids of this file are added.

    Raises:
        InputError: the file cannot be read, or has no such column.
    """
    if not is_table(path):
        for index, text in enumerate(split_text(read_whole_text(path))):
            yield Document(_new_id(f"{name}#{index}", used_ids), text)
        return
    yield from documents_of(
        _rows(path), path, name=name, text_column=text_column, used_ids=used_ids
    )


def documents_of(
    rows: Iterator[dict[str, Any]],
    path: Path,
    *,
    name: str,
    text_column: str | None,
    used_ids: set[str],
) -> Iterator[Document]:
    """Yield the documents in the rows of a table; see `read_documents`."""
    head = list(islice(rows, _HEAD_ROWS))
    if not head:
        return
    column = choose_text_column(head, text_column, path)
    for index, row in enumerate(chain(head, rows)):
        value = text_in(row, column, index, path)
        if value is not None:
            own_id = row.get("id")
            new = isinstance(own_id, str) and own_id != "" and own_id not in used_ids
            wanted = str(own_id) if new else f"{name}#{index}"
            yield Document(_new_id(wanted, used_ids), value)


def text_in(row: Mapping[str, Any], column: str, index: int, path: Path) -> str | None:
    """Return the text in a row of a table, or None.

    Raises:
        InputError: the column holds something else.
    """
    value = row.get(column)
    if value is None or isinstance(value, str):
        return value
    raise InputError(
        f"`text_column` {column!r} of {path} must hold strings, "
        f"but row {index} holds {type(value).__name__}"
    )


def _new_id(wanted: str, used_ids: set[str]) -> str:
    """Return an id that no document has, and add it to those used."""
    while wanted in used_ids:  # by a row that has such an id of its own
        wanted += "'"
    used_ids.add(wanted)
    return wanted


def read_texts(path: Path) -> Iterator[str]:
    """Yield the whole text of a text file, or every string in the rows of a table.

    Raises:
        InputError: the file cannot be read.
    """
    with quiet_datasets():
        if not is_table(path):
            yield _whole_text(path)
        else:
            for row in _rows(path):
                yield from _strings(row)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, with all their columns.

    Raises:
        InputError: the file cannot be read.
    """
    yield from _rows(path)


def read_whole_text(path: Path) -> str:
    """Return the text of a file, with a line feed as line end.

    Raises:
        InputError: the file cannot be read, or is not text.
    """
    text = _whole_text(path)
    _check_prose(text, path)
    return text


def choose_text_column(
    rows: Sequence[dict[str, Any]], text_column: str | None, path: Path | str
) -> str:
    """Return the column to read: `text_column`, else `text`, else the only column of strings.

    Raises:
        InputError: there is no such column; the message lists the columns.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    listed = ", ".join(columns)
    if text_column is not None:
        if text_column not in columns:
            raise InputError(
                f"`text_column` must be a column of {path}, but {text_column!r} is not among "
                f"its columns: {listed}"
            )
        return text_column
    if "text" in columns:
        return "text"
    if len(rows) == 1 and any(isinstance(value, (dict, list)) for value in rows[0].values()):
        raise InputError(
            f"`corpus` {path} is nested JSON (keys: {listed}): write it as JSON lines, "
            "one object with a text in each"
        )
    of_strings = [column for column in columns if column != "id" and _holds_strings(rows, column)]
    if len(of_strings) != 1:
        raise InputError(
            f"`text_column` must be given for {path}, which has no column 'text'; "
            f"its columns: {listed}"
        )
    return of_strings[0]


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Silence `datasets`, the hub client and pandas, and restore their settings afterwards."""
    import datasets
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from pandas.errors import ParserWarning

    levels = [(logging, logging.get_verbosity()) for logging in (datasets.logging, hub_logging)]
    bars, hub_bars = not datasets.are_progress_bars_disabled(), not are_progress_bars_disabled()
    try:
        for logging, _ in levels:
            logging.set_verbosity(logging.CRITICAL)
        datasets.disable_progress_bars()
        disable_progress_bars()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Pandas would leave out what follows a surplus comma.
            warnings.filterwarnings("error", category=ParserWarning)
            yield
    finally:
        for logging, level in levels:
            logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()
        if hub_bars:
            enable_progress_bars()


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's message."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if type(error).__name__ == "ParserWarning":
        return "a row has more fields than the header: quote fields that hold the separator"
    message = (getattr(error, "strerror", None) or str(error)).strip()
    return message.splitlines()[0][:200] if message else type(error).__name__


def _whole_text(path: Path) -> str:
    rows = _rows(path, "text", {"sample_by": "document"})
    text = "\n".join(row["text"] for row in rows)
    if "\0" in text:
        raise InputError(f"`corpus`: cannot read {path}: it is not text: it holds NUL bytes")
    return normalised(text)


def _check_prose(text: str, path: Path) -> None:
    """Refuse a file of an unknown type that holds JSON lines, whose documents would be JSON."""
    if suffix_of(path) in READABLE_SUFFIXES:
        return
    first = text.lstrip().partition("\n")[0]
    try:
        is_object = isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return
    if is_object:
        raise InputError(
            f"`corpus`: cannot read {path} as text: it holds JSON objects, so rename it to end in "
            ".jsonl"
        )


def _rows(
    path: Path, builder: str | None = None, options: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file. Streaming leaves no converted copy on disk."""
    import datasets

    if (reason := obstacle(path)) is not None:
        raise InputError(f"`corpus`: cannot read {path}: {reason}")
    if builder is None or options is None:
        builder, options = TABLES[suffix_of(path)]
    if builder == "json":
        check_json_rows(path)
    if builder == "csv":
        check_header(path, options.get("sep", ","))
    # Even a streamed data set locks its cache folder, and a home may be read-only.
    with tempfile.TemporaryDirectory(prefix="evop-", ignore_cleanup_errors=True) as scratch:
        try:
            with path.open("rb") as file:
                if not file.read(1):
                    return
            stream = datasets.load_dataset(
                builder,
                data_files=[glob.escape(str(path.absolute()))],
                split="train",
                streaming=True,
                cache_dir=scratch,
                **options,
            )
            yield from stream
        except Exception as error:  # parsers of five formats raise many types
            raise InputError(f"`corpus`: cannot read {path}: {reason_of(error)}") from error


def _strings(value: Any) -> Iterator[str]:
    """Yield all strings in a row, nested ones included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from chain.from_iterable(map(_strings, value.values()))
    elif isinstance(value, list):
        yield from chain.from_iterable(map(_strings, value))


def _holds_strings(rows: Sequence[dict[str, Any]], column: str) -> bool:
    values = [row[column] for row in rows if row.get(column) is not None]
    return bool(values) and all(isinstance(value, str) for value in values)
