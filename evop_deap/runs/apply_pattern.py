"""Prune a model by a known pattern, without a search, and check the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evop_deap.base.errors import InputError
from evop_deap.base.files import check_writable
from evop_deap.models.formats import Drops, read_pattern
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import load_named
from evop_deap.settings.calibration_config import CalibrationConfig

if TYPE_CHECKING:
    from evop_deap.models.export.export_report import ExportReport
    from evop_deap.models.loading.load_model import LoadedModel

CHECKPOINTS = ("transformers", "block-configs")
"""Formats that are checkpoints; all other formats are text files."""


def apply_pattern(
    config: CalibrationConfig,
    pattern: str,
    folder: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Prune the model of `config` by a pattern file or list, and check the checkpoint.

    Args:
        config: the model and how to load it; other settings are ignored.
        pattern: a file or list in a format of `read_pattern`.
        folder: folder of the checkpoint.
        overwrite: replace an existing checkpoint in `folder`.
        progress: receives progress messages; silent by default.

    Raises:
        EvopError: the model, the pattern or the folder cannot be used, or the reloaded
            checkpoint differs from the pruned model.
    """
    progress = progress or Progress()
    check_output(folder, overwrite=overwrite)
    loaded = load_named(config, progress)
    text = loaded.model.config.get_text_config(decoder=True)
    drops = read_pattern(pattern, int(text.num_hidden_layers))
    return write_checkpoint(
        loaded,
        drops,
        folder,
        card=_card(loaded, drops),
        trust_remote_code=config.trust_remote_code,
        progress=progress,
    )


def write_checkpoint(
    loaded: LoadedModel,
    drops: Drops,
    folder: Path,
    *,
    format: str = "transformers",
    card: str | None,
    trust_remote_code: bool,
    progress: Progress,
) -> ExportReport:
    """Write a checkpoint in one of the `CHECKPOINTS` formats, and check it.

    Raises:
        EvopError: the format cannot hold the pattern, or the reloaded checkpoint differs from the
            pruned model.
    """
    from evop_deap.models.anatomy.find_anatomy import find_anatomy
    from evop_deap.models.export.export_block_configs import export_block_configs
    from evop_deap.models.export.export_checkpoint import export_checkpoint

    anatomy = find_anatomy(loaded.model, drops.granularity)
    dropped = drops.positions([part.name for part in anatomy.parts])
    progress.stage(f"writing and checking {folder}")
    parts = (loaded.model, anatomy, dropped, loaded.tokenizer, folder)
    if format == "block-configs":
        return export_block_configs(*parts, card=card, stored_dtype=loaded.stored_dtype)
    return export_checkpoint(
        *parts,
        card=card,
        stored_dtype=loaded.stored_dtype,
        trust_remote_code=trust_remote_code,
    )


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that cannot be written, or that holds anything but a checkpoint.

    Raises:
        InputError: the path exists and `overwrite` is not given, or it is no checkpoint.
        OutputError: the path cannot be written.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        if not overwrite:
            raise InputError(f"`output` {path} exists: choose another, or add --overwrite")
        if path.is_dir() and not (path / "config.json").is_file():
            raise InputError(
                f"`output` {path} is no checkpoint (no config.json), so --overwrite leaves it "
                "alone: choose another folder"
            )
    check_writable(path.parent)


def _card(loaded: LoadedModel, drops: Drops) -> str:
    """Return the README.md of a checkpoint that was made without a search."""
    source = loaded.hub_id or loaded.name
    front = [f"base_model: {loaded.hub_id}"] if loaded.hub_id else []
    front += ["library_name: transformers", "pipeline_tag: text-generation"]
    return "\n".join(
        [
            "---",
            *front,
            "tags: [evop, layer-pruning, pruned]",
            "---",
            "",
            f"# {source.rstrip('/').rsplit('/', 1)[-1]}, pruned",
            "",
            f"Of the {drops.n_blocks} decoder blocks of {source}, {', '.join(drops.names)} were "
            "removed (counted from 0; attn and mlp are halves), and nothing else was changed or "
            "trained. The checkpoint was reloaded with plain transformers and its logits compared "
            "with those of the dense model with these parts bypassed.",
            "",
        ]
    )
