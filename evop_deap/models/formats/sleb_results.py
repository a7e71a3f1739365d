"""The removal list in the text that SLEB adds to its result file.

Song et al. (2024), https://arxiv.org/abs/2402.09025.
"""

from __future__ import annotations

import re

from evop_deap.base.errors import InputError
from evop_deap.models.formats.drops import Drops

_ORDER = re.compile(r"^Block Removal Order:\s*\[([\d,\s]*)\]\s*$", re.MULTILINE)
_TOTAL = re.compile(r"^# Total Blocks:\s*(\d+)\s*$", re.MULTILINE)


def is_sleb(text: str) -> bool:
    """Return whether a text has a line with the order in which blocks were removed."""
    return "Block Removal Order:" in text


def parse_sleb(text: str, n_blocks: int) -> Drops:
    """Return the blocks that a run of SLEB has removed.

    Raises:
        InputError: the file holds several runs, or a run on another number of blocks.
    """
    orders = _ORDER.findall(text)
    if len(orders) != 1:
        raise InputError(
            f"a result file of SLEB must hold one removal list, but it holds {len(orders)}: "
            "keep only the run that you mean"
        )
    totals = {int(total) for total in _TOTAL.findall(text)} - {n_blocks}
    if totals:
        raise InputError(
            f"the result file of SLEB is about {totals.pop()} blocks, but the model has {n_blocks}"
        )
    return Drops.of_blocks(n_blocks, [int(number) for number in re.findall(r"\d+", orders[0])])
