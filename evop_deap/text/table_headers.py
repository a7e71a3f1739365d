"""A check of CSV and TSV files before they are read: another separator would make one column."""

from __future__ import annotations

import codecs
import csv
import lzma
import re
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.base.user_text import shown
from evop_deap.text.json_rows import opener

_HEAD = 1 << 16  # bytes
_QUOTED = re.compile(r'"([^"]|"")*"')
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def check_header(path: Path, separator: str) -> None:
    """Refuse a table whose header is one field that holds the separator of another kind of table.

    A name that is quoted as a whole may hold anything. A file that cannot be unpacked or decoded
    passes: whoever reads it says why.

    Args:
        path: the file; its suffix says whether it is packed.
        separator: what stands between its fields, a comma or a tab.

    Raises:
        InputError: the fields of the header stand between other separators.
    """
    try:
        header = _header(path)
        fields = next(csv.reader([header], delimiter=separator), [])
    except (OSError, EOFError, ImportError, ValueError, csv.Error, lzma.LZMAError):
        return
    if len(fields) > 1 or _QUOTED.fullmatch(header):
        return
    other = next((one for one in _SEPARATORS if one != separator and one in header), None)
    if other is not None:
        raise InputError(
            f"`corpus`: cannot read {path}: its header has no {_SEPARATORS[separator]}, but "
            f"{_SEPARATORS[other]}: {shown(header)}; {_WHAT_WOULD_DO[separator, other]}"
        )


_WHAT_WOULD_DO = {
    (",", "\t"): "rename it to end in .tsv, or put commas between fields",
    (",", ";"): "put commas between fields, or tabs and rename it to end in .tsv",
    ("\t", ","): "rename it to end in .csv, or put tabs between fields",
    ("\t", ";"): "put tabs between fields, or commas and rename it to end in .csv",
}


def _header(path: Path) -> str:
    """Return the first line that is not empty, as `datasets` takes it for the header."""
    with opener(path)(path) as file:
        head = file.read(_HEAD).removeprefix(codecs.BOM_UTF8)
    first = next((line for line in head.splitlines() if line.strip()), b"")
    return first.strip(b"\r\n").decode()
