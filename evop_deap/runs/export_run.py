"""Export the pattern of a finished run in another format."""

from __future__ import annotations

import json
from pathlib import Path

from evop_deap.base.errors import InputError, one_line
from evop_deap.base.files import write_text
from evop_deap.models.formats import (
    Drops,
    layer_drop_config,
    mergekit_passthrough,
    parse_pattern,
    per_layer_config,
    prune_layers,
)
from evop_deap.runs.apply_pattern import CHECKPOINTS, card_of, check_output, write_checkpoint
from evop_deap.runs.compensating import PATTERN_ALONE
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import load_named
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.settings.config_files import read_settings
from evop_deap.settings.search_config import SearchConfig

FORMATS = (*CHECKPOINTS, "layer-drop", "mergekit", "per-layer-config", "prune-layers")


def export_run(
    run: Path,
    format: str,
    output: Path | None = None,
    *,
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
        overwrite: replace an existing `output`.
        progress: receives progress messages; silent by default.

    Returns:
        The text to print: a summary of what was written, or the exported text.

    Raises:
        EvopError: there is no finished run, the format cannot hold the pattern, or the
            checkpoint differs from the pruned model.
    """
    folder = RunFolder(run)
    drops, config = _found(folder)
    if output is not None:
        check_output(output, overwrite=overwrite)
    if format not in CHECKPOINTS:
        text = _text(folder, config, drops, format)
        if output is None:
            return text.rstrip("\n")
        write_text(output, text)
        return f"{output}: {format} without {', '.join(drops.names)}"
    if output is None:
        raise InputError(f"`output` is required: name a folder for the {format} checkpoint")
    progress = progress or Progress()
    loaded, path = load_named(config, progress), folder.model / "README.md"
    card = path.read_text(encoding="utf-8") if path.is_file() else None
    alone = _is_compensated(folder)
    report = write_checkpoint(
        loaded,
        drops,
        output,
        format=format,
        card=card_of(loaded, drops) if alone else card,
        trust_remote_code=config.trust_remote_code,
        progress=progress,
    )
    less = "; the pattern alone, while the run's own model/ is compensated" if alone else ""
    return f"{output}: {report.summary}{less}"


def _is_compensated(folder: RunFolder) -> bool:
    """Whether the checkpoint of a finished run has other weights than the dense model."""
    about = json.loads(folder.result.read_text(encoding="utf-8")).get("compensation")
    return isinstance(about, dict) and bool(about.get("taken"))


def _found(folder: RunFolder) -> tuple[Drops, CalibrationConfig]:
    """Return the pattern and the settings of a finished run."""
    try:
        drops = parse_pattern(folder.result.read_text(encoding="utf-8"), n_blocks=0)
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise InputError(
            f"`run` {folder.path} must be the folder of a finished run with a pattern, but its "
            f"result.json cannot be used: {one_line(error)}"
        ) from error
    return drops, SearchConfig(**read_settings(folder.config))


def _text(folder: RunFolder, config: CalibrationConfig, drops: Drops, format: str) -> str:
    if format == "layer-drop":
        return layer_drop_config(drops)
    if format == "prune-layers":
        return prune_layers(drops) + "\n"
    if format == "per-layer-config":
        return json.dumps(per_layer_config(drops), indent=2) + "\n"
    if format == "mergekit":
        alone = PATTERN_ALONE if _is_compensated(folder) else ""
        return mergekit_passthrough(_source(config), drops, _dtype(folder), alone)
    raise InputError(f"`format` must be one of {', '.join(FORMATS)}, but got '{format}'")


def _source(config: CalibrationConfig) -> str:
    from evop_deap.models.loading.load_model import DEMO_HUB_ID

    return DEMO_HUB_ID if config.model == "demo" else config.model


def _dtype(folder: RunFolder) -> str:
    """Return the dtype of the checkpoint in the run's folder."""
    path = folder.model / "config.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["dtype"])
    except (OSError, ValueError, LookupError) as error:
        raise InputError(
            f"`run` {folder.path} has no checkpoint in model/ with a dtype in its config.json"
        ) from error
