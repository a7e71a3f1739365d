"""Export the pattern of a finished run in another format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.data_files import read_json, read_utf8
from evop_deap.base.errors import InputError
from evop_deap.base.files import claimed, write_text
from evop_deap.base.typed import Size, typed
from evop_deap.base.user_paths import existing_path
from evop_deap.models.formats import (
    MERGED,
    Drops,
    layer_drop_config,
    per_layer_config,
    prune_layers,
)
from evop_deap.models.formats.run_results import why_no_result
from evop_deap.runs.apply_pattern import CHECKPOINTS, card_of, check_output, write_checkpoint
from evop_deap.runs.card_fields import card_field
from evop_deap.runs.compensating import PATTERN_ALONE
from evop_deap.runs.export_base import config_of_base
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import load_named
from evop_deap.runs.recipe_of_run import recipe_of_run
from evop_deap.runs.storage.file_shapes import UnitEntry
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.settings.config_files import read_config
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space.unit_names import block_of

if TYPE_CHECKING:
    from evop_deap.models.loading.load_model import LoadedModel


@dataclass(frozen=True)
class _Compensation:
    """The field of a compensation that says whether the checkpoint has other weights."""

    taken: bool


@dataclass(frozen=True)
class _Pattern:
    """The fields of a result that give its pattern."""

    n_blocks: Size
    dropped: tuple[str, ...]
    merged: bool = False
    units: tuple[UnitEntry, ...] = ()
    compensation: _Compensation | None = None
    model_fingerprint: str | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class _OfWeights:
    """The fields of a checkpoint's configuration that a recipe needs."""

    dtype: str
    quantization_config: dict[str, Any] | None = None


FORMATS = (*CHECKPOINTS, "layer-drop", "mergekit", "per-layer-config", "prune-layers")


def export_run(
    run: Path,
    format: str,
    output: Path | None = None,
    *,
    export_from: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> str:
    """Write the pattern of a run in one of `FORMATS`.

    Args:
        run: folder of a finished run.
        format: "transformers" or "block-configs" for a checkpoint, which is built again from the
            dense model and checked; "layer-drop", "mergekit", "per-layer-config" or
            "prune-layers" for a text.
        output: folder of a checkpoint or file of a text; a text without `output` is returned.
        export_from: the dense original of the run's model, whose weights a checkpoint gets; by
            default that of the run, if it has one.
        overwrite: replace an existing `output`.
        progress: receives progress messages; silent by default.

    Returns:
        The text to print: a summary of what was written, or the exported text.

    Raises:
        EvopError: there is no finished run, the format cannot hold the pattern, or the
            checkpoint differs from the pruned model.
    """
    if export_from is not None and format in FORMATS and format not in CHECKPOINTS:
        raise InputError(f"`export_from` is for a checkpoint, but `format` is {format}")
    folder = RunFolder(run)
    found, drops, config = _found(folder)
    compensated = found.compensation is not None and found.compensation.taken
    comment = PATTERN_ALONE if compensated else ""
    if output is None:
        if format in CHECKPOINTS:
            raise InputError(f"`output` is required: name a folder for the {format} checkpoint")
        return _text(folder, config, drops, format, comment).rstrip("\n")
    with claimed(output):
        read = (config.model, config.export_from, export_from)
        check_output(output, read, overwrite=overwrite, is_text=format not in CHECKPOINTS)
        if format not in CHECKPOINTS:
            write_text(output, _text(folder, config, drops, format, comment))
            return f"{output}: {format} without {', '.join(drops.names)}"
        progress, stock = progress or Progress(), format == "transformers"
        base = export_from or config.export_from
        source = config if base is None else config_of_base(base, config)
        loaded = load_named(source, progress, as_stored=stock)
        # The card of the run tells of the weights that the run has exported, and of no others.
        card = _card(folder, found, loaded, base) if base == config.export_from else None
        same = card is not None and not compensated and stock
        report = write_checkpoint(
            loaded,
            drops,
            output,
            format=format,
            card=card if same else card_of(loaded, drops, stock=stock),
            trust_remote_code=config.trust_remote_code,
            progress=progress,
        )
    less = "; the pattern alone, while the run's own model/ is compensated" if compensated else ""
    return f"{output}: {report.summary}{less}"


def _found(folder: RunFolder) -> tuple[_Pattern, Drops, SearchConfig]:
    """Return the result of a finished run, its pattern and its settings."""
    must = f"`run` {folder.path} must be the folder of a finished run with a pattern, but"
    if reason := why_no_result(folder.path):
        raise InputError(f"{must} {reason}")
    try:
        found = typed(_Pattern, read_json(folder.result, "it"))
        if found.merged:
            raise InputError(MERGED)
        config = read_config(folder.config)
        blocks = len({block_of(unit.name) for unit in found.units}) or _blocks_of(config.model)
        if blocks not in (None, found.n_blocks):
            raise InputError(f"n_blocks: expected {blocks} as in the model, found {found.n_blocks}")
        return found, Drops.named(found.n_blocks, found.dropped), config
    except InputError as error:
        raise InputError(f"{must} its result.json cannot be used: {error}") from error


def _card(folder: RunFolder, found: _Pattern, loaded: LoadedModel, base: str | None) -> str | None:
    """Return the card of a run's checkpoint; None without one.

    Raises:
        InputError: the dense model has other weights now.
    """
    from evop_deap.models.loading.fingerprint import fingerprint_model

    path = folder.model / "README.md"
    card = read_utf8(path, str(path)) if path.is_file() else None
    known, dtype = found.model_fingerprint, found.dtype
    if base is not None:
        known = card_field(card, "evop_base_fingerprint", "run")
        dtype = card_field(card, "evop_base_dtype", "run")
    # A fingerprint is of weights in one dtype.
    alike = known is not None and dtype == str(loaded.model.dtype).removeprefix("torch.")
    if alike and fingerprint_model(loaded.model) != known:
        raise InputError(
            f"`run` {folder.path} was made of other weights than {loaded.name} has now: name the "
            "dense original by `export_from`"
        )
    return card


def _blocks_of(model: str) -> int | None:
    """Return the number of blocks in the configuration of a local model, or None."""
    path = existing_path(f"{model}/config.json", "model")
    fields = None if path is None else read_json(path, f"`model` {path}")
    for of_text in ("text_config", None):
        part = fields.get(of_text) if isinstance(fields, dict) and of_text else fields
        count = part.get("num_hidden_layers") if isinstance(part, dict) else None
        if type(count) is int:
            return count
    return None


def _text(folder: RunFolder, config: SearchConfig, drops: Drops, format: str, comment: str) -> str:
    if format == "layer-drop":
        return layer_drop_config(drops)
    if format == "prune-layers":
        return prune_layers(drops) + "\n"
    if format == "per-layer-config":
        return json.dumps(per_layer_config(drops), indent=2) + "\n"
    if format == "mergekit":
        weights = _weights(folder)
        packed = weights.quantization_config is not None
        return recipe_of_run(config, drops, weights.dtype, comment, quantised=packed)
    raise InputError(f"`format` must be one of {', '.join(FORMATS)}, but got '{format}'")


def _weights(folder: RunFolder) -> _OfWeights:
    """Return what the configuration of the checkpoint in the run's folder says of its weights."""
    path = folder.model / "config.json"
    try:
        return typed(_OfWeights, read_json(path, f"`run`: {path}"))
    except InputError as error:
        raise InputError(
            f"`run` {folder.path} has no checkpoint in model/ with a dtype in its config.json"
        ) from error
