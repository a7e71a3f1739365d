"""Saying which blocks went in the text formats of other tools: EvoPress and mergekit."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from evop_deap.errors import InputError

_KEPT, _ATTENTION, _MLP, _WHOLE = "none", "attn", "mlp", "attn+mlp"


@dataclass(frozen=True)
class LayerDrops:
    """What an EvoPress file says: the blocks whose attention and whose MLP half go."""

    n_blocks: int
    attention: frozenset[int]
    mlp: frozenset[int]

    @property
    def blocks(self) -> frozenset[int]:
        """The blocks that go whole."""
        return self.attention & self.mlp


def layer_drop_config(n_blocks: int, dropped: Collection[int]) -> str:
    """EvoPress's file for whole blocks: a line a block, "attn+mlp" if it goes, "none" if not.

    Raises:
        InputError: a dropped block is no block of the model.
    """
    _check_blocks(n_blocks, dropped)
    return "".join(f"{_WHOLE if index in dropped else _KEPT}\n" for index in range(n_blocks))


def parse_layer_drop_config(text: str) -> LayerDrops:
    """Read an EvoPress file; blank lines at its end do not count.

    Raises:
        InputError: the text is empty, or a line is none of the four words.
    """
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if not lines:
        raise InputError("a layer drop configuration must have a line a block, but it is empty")
    for number, line in enumerate(lines, start=1):
        if line not in (_KEPT, _ATTENTION, _MLP, _WHOLE):
            raise InputError(
                f"line {number} of a layer drop configuration must be {_KEPT}, {_ATTENTION},"
                f" {_MLP} or {_WHOLE}, but got {line!r}"
            )
    return LayerDrops(
        n_blocks=len(lines),
        attention=frozenset(i for i, line in enumerate(lines) if line in (_ATTENTION, _WHOLE)),
        mlp=frozenset(i for i, line in enumerate(lines) if line in (_MLP, _WHOLE)),
    )


def mergekit_passthrough(model_id: str, kept: Collection[int], dtype: str) -> str:
    """A mergekit file that stacks the runs of kept blocks; upper bounds are exclusive.

    Args:
        model_id: Hub id or folder of the dense model.
        kept: Indices of the blocks that stay.
        dtype: As mergekit spells it: "bfloat16", "float16" or "float32".

    Raises:
        InputError: no block is kept.
    """
    if not kept:
        raise InputError("`kept` must hold at least one block")
    # A JSON string is a YAML string, whatever characters a path has.
    model = json.dumps(model_id, ensure_ascii=False)
    slices = "".join(
        f"  - sources:\n      - model: {model}\n        layer_range: [{start}, {stop}]\n"
        for start, stop in _runs(kept)
    )
    return f"slices:\n{slices}merge_method: passthrough\ndtype: {dtype}\n"


def _runs(indices: Iterable[int]) -> list[tuple[int, int]]:
    """The unbroken runs of `indices` as (first, behind the last)."""
    runs: list[tuple[int, int]] = []
    for index in sorted(indices):
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


def _check_blocks(n_blocks: int, dropped: Collection[int]) -> None:
    strange = sorted(index for index in dropped if not 0 <= index < n_blocks)
    if strange:
        raise InputError(
            f"`dropped` must hold block indices from 0 to {n_blocks - 1}, but got {strange}"
        )
