"""mergekit's passthrough recipe: a stack of the runs of kept blocks."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.base.user_text import message_line, shown
from evop_deap.models.formats.drops import Drops

_DTYPES = ("bfloat16", "float16", "float32")
_SHAPE = "a mergekit recipe must have `slices` of one source each, `model` and `layer_range`"


def mergekit_passthrough(
    model_id: str, drops: Drops, dtype: str, comment: str = "", revision: str | None = None
) -> str:
    """Return a recipe that stacks the runs of kept blocks; upper bounds are exclusive.

    Args:
        model_id: Hub id or folder of the dense model.
        drops: The dropped parts.
        dtype: "bfloat16", "float16" or "float32", as in mergekit.
        comment: A line of text above the recipe.
        revision: Branch, tag or commit of a hub id.

    Raises:
        InputError: only half of a block is dropped.
    """
    gone = drops.whole("a mergekit recipe")
    kept = (index for index in range(drops.n_blocks) if index not in gone)
    # JSON is YAML, with any characters in the path.
    model = json.dumps(_reference(model_id, revision), ensure_ascii=False)
    slices = "".join(
        f"  - sources:\n      - model: {model}\n        layer_range: [{start}, {stop}]\n"
        for start, stop in _runs(kept)
    )
    above = f"# {comment}\n" if comment else ""
    return f"{above}slices:\n{slices}merge_method: passthrough\ndtype: {dtype}\n"


def parse_mergekit(recipe: Mapping[str, Any], n_blocks: int) -> Drops:
    """Return the blocks that a recipe drops.

    Raises:
        InputError: the recipe does more than drop blocks of one model; the message names the key.
    """
    _refuse_others(recipe, ("slices", "merge_method", "dtype"), "")
    slices = recipe.get("slices")
    if not isinstance(slices, list):
        raise InputError(_SHAPE)
    stacked = [_source(piece, f"slices[{place}]", n_blocks) for place, piece in enumerate(slices)]
    if recipe.get("merge_method") != "passthrough" or len({model for model, _ in stacked}) != 1:
        raise InputError("a mergekit recipe must pass blocks of one model through")
    if recipe.get("dtype") not in (None, *_DTYPES):
        raise InputError(f"`dtype` of a mergekit recipe must be one of {', '.join(_DTYPES)}")
    kept = set[int]()
    for _, blocks in stacked:
        if kept and blocks.start <= max(kept):
            raise InputError(
                f"a mergekit recipe must stack blocks of 0 to {n_blocks - 1} once each and in order"
            )
        kept.update(blocks)
    return Drops.of_blocks(n_blocks, set(range(n_blocks)) - kept)


def _reference(model_id: str, revision: str | None) -> str | dict[str, dict[str, str]]:
    """Return a model as mergekit takes it: its name, or its parts."""
    if revision is not None:
        return {"model": {"path": model_id, "revision": revision}}
    # In a name, mergekit takes what follows + for a LoRA and what follows @ for a revision.
    return {"model": {"path": model_id}} if {"+", "@"} & {*model_id} else model_id


def _named(model: Any) -> tuple[str, str | None]:
    """Return the path and the revision of a model; the inverse of `_reference`."""
    if isinstance(model, str):
        if "+" in model or "@" in model:
            raise InputError(
                f"a mergekit recipe must name a model alone, but {shown(model)} adds a LoRA (+) "
                "or a revision (@)"
            )
        return model, None
    parts = model.get("model") if isinstance(model, dict) and model.keys() == {"model"} else None
    if not isinstance(parts, dict) or not parts.keys() <= {"path", "revision"}:
        raise InputError(_SHAPE)
    path, revision = parts.get("path"), parts.get("revision")
    if not isinstance(path, str) or not isinstance(revision, str | None):
        raise InputError(_SHAPE)
    return path, revision


def _source(piece: Any, at: str, n_blocks: int) -> tuple[tuple[str, str | None], range]:
    """Return the model and the blocks of one slice, at most `n_blocks` of them."""
    if not isinstance(piece, dict):
        raise InputError(_SHAPE)
    _refuse_others(piece, ("sources",), f"{at}.")
    sources = piece.get("sources")
    if not (isinstance(sources, list) and len(sources) == 1 and isinstance(sources[0], dict)):
        raise InputError(_SHAPE)
    _refuse_others(sources[0], ("model", "layer_range"), f"{at}.sources[0].")
    model, ends = _named(sources[0].get("model")), sources[0].get("layer_range")
    if not (isinstance(ends, list) and [type(end) for end in ends] == [int, int]):
        raise InputError(
            f"`{at}.sources[0].layer_range` must be two whole numbers, the first block and the "
            f"one after the last, but got {shown(ends)}"
        )
    if not 0 <= ends[0] < ends[1] <= n_blocks:
        raise InputError(
            f"`{at}.sources[0].layer_range` must ascend within 0 and {n_blocks}, "
            f"but got {shown(ends)}"
        )
    return model, range(*ends)


def _refuse_others(given: Mapping[str, Any], known: Collection[str], at: str) -> None:
    """Refuse what this package does not carry out, such as `parameters` with a scale."""
    for name, value in given.items():
        if name not in known and value is not None:
            raise InputError(
                f"a mergekit recipe may only leave blocks out, but has `{at}{message_line(name)}`"
            )


def _runs(indices: Iterable[int]) -> list[tuple[int, int]]:
    """Return the runs of consecutive `indices`, which ascend, as (first, last + 1)."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs
