"""A landscape as a table in a CSV file: a column of 0 and 1 for each unit, and a loss.

    0,1,2,loss
    1,1,0,3.25
    1,0,1,3.50

The names of the columns are the names of the units, 1 = keep, and the column `loss` holds nats per
predicted token. A table says nothing of work, so all units weigh the same.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from evop_deap.base.data_files import read_utf8
from evop_deap.base.errors import InputError
from evop_deap.base.numbers import decimal_number
from evop_deap.base.user_text import shown
from evop_deap.fitness.landscape import Landscape, load_landscape
from evop_deap.space import Unit

LOSS = "loss"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_landscape(path: Path) -> Landscape:
    """Read a landscape: a table in a .csv or .tsv file, or a file of `save_landscape`.

    A table has one window of one token.

    Raises:
        InputError: the file cannot be read, or is neither.
    """
    if path.suffix.lower() not in _DELIMITERS:
        return load_landscape(path)
    name = f"`landscape` {path}"
    text = read_utf8(path, name)
    try:
        return _landscape(text, _DELIMITERS[path.suffix.lower()])
    except (ValueError, csv.Error) as error:
        raise InputError(f"{name} is not a table of losses: {error}") from error


def _landscape(text: str, delimiter: str) -> Landscape:
    head, *rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row] or [[]]
    names = [name.strip() for name in head]
    if names.count(LOSS) != 1 or len(names) < 2:
        raise ValueError(f"its first line must name the units and `{LOSS}`, but is {shown(names)}")
    at = names.index(LOSS)
    units = tuple(Unit(unit, 1, 1) for unit in (*names[:at], *names[at + 1 :]))
    patterns, losses = [], []
    for number, row in enumerate(rows, start=2):
        cells = [cell.strip() for cell in row]
        if len(cells) != len(names):
            raise ValueError(f"row {number} has {len(cells)} cells, but the first {len(names)}")
        losses.append([decimal_number(cells.pop(at))])
        if not set(cells) <= {"0", "1"}:
            raise ValueError(f"row {number} must hold 0 and 1, but holds {shown(cells)}")
        patterns.append([int(cell) for cell in cells])
    return Landscape(
        units=units,
        patterns=np.array(patterns, np.uint8).reshape(len(rows), len(units)),
        sums=np.array(losses, np.float64).reshape(len(rows), 1),
        tokens=np.ones(1, np.int64),
        head_work=0,
        about={},
    )
