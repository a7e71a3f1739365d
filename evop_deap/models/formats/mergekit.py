"""mergekit's passthrough recipe: a stack of the runs of kept blocks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.models.formats.drops import Drops


def mergekit_passthrough(model_id: str, drops: Drops, dtype: str, comment: str = "") -> str:
    """Return a recipe that stacks the runs of kept blocks; upper bounds are exclusive.

    Args:
        model_id: Hub id or folder of the dense model.
        drops: The dropped parts.
        dtype: "bfloat16", "float16" or "float32", as in mergekit.
        comment: A line of text above the recipe.

    Raises:
        InputError: only half of a block is dropped.
    """
    gone = drops.whole("a mergekit recipe")
    kept = (index for index in range(drops.n_blocks) if index not in gone)
    # A JSON string is a YAML string, with any characters in the path.
    model = json.dumps(model_id, ensure_ascii=False)
    slices = "".join(
        f"  - sources:\n      - model: {model}\n        layer_range: [{start}, {stop}]\n"
        for start, stop in _runs(kept)
    )
    above = f"# {comment}\n" if comment else ""
    return f"{above}slices:\n{slices}merge_method: passthrough\ndtype: {dtype}\n"


def parse_mergekit(recipe: dict[str, Any], n_blocks: int) -> Drops:
    """Return the blocks that a recipe drops.

    Raises:
        InputError: the recipe does more than drop blocks of one model.
    """
    stacked: list[int] = []
    models = set()
    try:
        for piece in recipe["slices"]:
            (source,) = piece["sources"]
            models.add(source["model"])
            stacked.extend(range(*source["layer_range"]))
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            "a mergekit recipe must have `slices` of one source each, `model` and `layer_range`"
        ) from error
    if recipe.get("merge_method") != "passthrough" or len(models) > 1:
        raise InputError("a mergekit recipe must pass blocks of one model through")
    if stacked != sorted(set(stacked)) or not set(stacked) <= set(range(n_blocks)):
        raise InputError(
            f"a mergekit recipe must stack blocks of 0 to {n_blocks - 1} once each and in order"
        )
    return Drops.of_blocks(n_blocks, set(range(n_blocks)) - set(stacked))


def _runs(indices: Iterable[int]) -> list[tuple[int, int]]:
    """Return the runs of consecutive `indices`, which ascend, as (first, last + 1)."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs
