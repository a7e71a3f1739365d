"""The removal list in the text that SLEB adds to its result file.

Song et al. (2024), https://arxiv.org/abs/2402.09025.
"""

from __future__ import annotations

import re

from evop_deap.base.errors import InputError
from evop_deap.base.user_text import shown
from evop_deap.models.formats.drops import Drops

_NUMBER = "[0-9]{1,9}"
_ORDER = re.compile(
    rf"^Block Removal Order:\s*\[\s*((?:{_NUMBER}\s*,\s*)*{_NUMBER})?\s*\]\s*$", re.MULTILINE
)
_TOTAL = re.compile(r"^# Total Blocks:(.*)$", re.MULTILINE)
_REMOVED = re.compile(r"^# Remove Blocks:(.*)$", re.MULTILINE)


def is_sleb(text: str) -> bool:
    """Return whether a text has a line with the order in which blocks were removed."""
    return "Block Removal Order:" in text


def parse_sleb(text: str, n_blocks: int) -> Drops:
    """Return the blocks that a run of SLEB has removed.

    Raises:
        InputError: the file holds several runs, a run on another number of blocks, or contradicts
            itself.
    """
    orders = _ORDER.findall(text)
    if len(orders) != 1 or text.count("Block Removal Order:") != 1:
        raise InputError(
            f"a result file of SLEB must hold one removal list, but it holds {len(orders)}: "
            "keep only the run that you mean"
        )
    for total in _TOTAL.findall(text):
        if total.strip() != str(n_blocks):
            raise InputError(
                f"the result file of SLEB is about {shown(total.strip())[1:-1]} blocks, "
                f"but the model has {n_blocks}"
            )
    removed = [int(number) for number in re.findall(_NUMBER, orders[0])]
    counts = {count.strip() for count in _REMOVED.findall(text)} - {str(len(removed))}
    if counts or len(set(removed)) < len(removed):
        raise InputError(
            f"the result file of SLEB must list as many different blocks as it removes, but got "
            f"{shown(removed)}"
        )
    return Drops.of_blocks(n_blocks, removed)
