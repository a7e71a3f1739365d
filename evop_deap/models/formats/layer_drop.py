"""EvoPress's file: one line per block with its dropped halves.

Sieberling et al. (2024), https://arxiv.org/abs/2410.14649.
"""

from __future__ import annotations

from evop_deap.base.errors import InputError
from evop_deap.models.formats.drops import Drops

# Keys: whether the attention and whether the MLP is kept.
_WORDS = {
    (True, True): "none",
    (False, True): "attn",
    (True, False): "mlp",
    (False, False): "attn+mlp",
}


def layer_drop_config(drops: Drops) -> str:
    """Return the file's text in EvoPress's format: none, attn, mlp or attn+mlp for every block."""
    return "".join(f"{_WORDS[live]}\n" for live in drops.live)


def is_layer_drop_config(text: str) -> bool:
    """Return whether a text begins with one of EvoPress's four words."""
    return bool(text.strip()) and text.split()[0] in _WORDS.values()


def parse_layer_drop_config(text: str) -> Drops:
    """Read the text of an EvoPress file; blank lines at its end are ignored.

    Raises:
        InputError: the text is empty, or a line is none of the four words.
    """
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if not lines:
        raise InputError("a layer drop configuration must have a line a block, but it is empty")
    words = list(_WORDS.values())
    for number, line in enumerate(lines, start=1):
        if line not in words:
            raise InputError(
                f"line {number} of a layer drop configuration must be none, attn, mlp or "
                f"attn+mlp, but got {line!r}"
            )
    return Drops.of_sublayers(
        len(lines),
        attention=(i for i, line in enumerate(lines) if line.startswith("attn")),
        mlp=(i for i, line in enumerate(lines) if line.endswith("mlp")),
    )
