"""What a finished run has found, once more in a format of choice."""

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
from evop_deap.runs.apply_pattern import CHECKPOINTS, check_output, write_checkpoint
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
    """Write the pattern of a run as one of `FORMATS`; returns what to print.

    Args:
        run: folder of a finished run.
        format: "transformers" or "block-configs", checkpoints that are made from the dense model
            again and checked; or a text: "layer-drop", "mergekit", "per-layer-config",
            "prune-layers".
        output: where it goes; a text without one is returned.
        overwrite: whether what stands at `output` is replaced.
        progress: told what is going on; nobody by default.

    Raises:
        EvopError: there is no finished run, the format cannot say the pattern, or the
            checkpoint is not the pruned model.
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
        raise InputError(f"`output` is required: a {format} checkpoint is a folder")
    progress = progress or Progress()
    card = folder.model / "README.md"
    report = write_checkpoint(
        load_named(config, progress),
        drops,
        output,
        format=format,
        card=card.read_text(encoding="utf-8") if card.is_file() else None,
        trust_remote_code=config.trust_remote_code,
        progress=progress,
    )
    return f"{output}: {report.summary}"


def _found(folder: RunFolder) -> tuple[Drops, CalibrationConfig]:
    """The pattern and the settings of a finished run."""
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
        return mergekit_passthrough(_source(config), drops, _dtype(folder))
    raise InputError(f"`format` must be one of {', '.join(FORMATS)}, but got '{format}'")


def _source(config: CalibrationConfig) -> str:
    from evop_deap.models.loading.load_model import DEMO_HUB_ID

    return DEMO_HUB_ID if config.model == "demo" else config.model


def _dtype(folder: RunFolder) -> str:
    """The number format of the checkpoint that the run has written."""
    path = folder.model / "config.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["dtype"])
    except (OSError, ValueError, LookupError) as error:
        raise InputError(
            f"`run` {folder.path} has no checkpoint in model/ that says its number format"
        ) from error
