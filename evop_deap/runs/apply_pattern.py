"""Prune a model by a known pattern, without a search, and check the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import check_writable, claimed
from evop_deap.base.formatting import markdown
from evop_deap.base.user_folders import cache_folder
from evop_deap.models.export.checkpoint_entries import not_of_checkpoint
from evop_deap.models.formats import Drops, read_pattern
from evop_deap.recovery.compensation.form_names import OFF
from evop_deap.runs.calibration_folder import responder_of
from evop_deap.runs.draw_calibration import check_text, make_calibration
from evop_deap.runs.export_base import config_of_base
from evop_deap.runs.files_of_runs import check_outside_runs
from evop_deap.runs.folders_of_models import check_outside_models
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import load_named, parts_of
from evop_deap.runs.pruned_model import PrunedModel
from evop_deap.runs.quantised_choice import not_compensated
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
    compensate: str = OFF,
    export_from: str | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Prune the model of `config` by a pattern file or list, and check the checkpoint.

    Args:
        config: names the model and how to load it, and the text to compensate on.
        pattern: a file or list in a format of `read_pattern`.
        folder: folder of the checkpoint.
        overwrite: replace an existing checkpoint in `folder`.
        compensate: form of compensation, or "off".
        export_from: the dense original of the model of `config`, whose weights are written.
        progress: receives progress messages; silent by default.

    Raises:
        EvopError: the model, the text, the pattern or the folder cannot be used, or the reloaded
            checkpoint differs from the pruned model.
    """
    with claimed(folder):
        check_output(folder, (config.model, export_from), overwrite=overwrite)
        progress = progress or Progress()
        base = config if export_from is None else config_of_base(export_from, config)
        return _applied(base, pattern, folder, compensate, progress)


def _applied(
    config: CalibrationConfig, pattern: str, folder: Path, compensate: str, progress: Progress
) -> ExportReport:
    """Prune a model in a process that has claimed the folder."""
    from evop_deap.models.anatomy.quantisation import is_quantised

    if compensate != OFF:
        check_text(config)
    # Without compensation, weights stay in their files anyhow.
    place = "resident" if compensate == OFF else "auto"
    loaded = load_named(config, progress, as_stored=compensate == OFF, weights=place)
    text = loaded.model.config.get_text_config(decoder=True)
    dtype = str(loaded.stored_dtype).removeprefix("torch.")
    drops = read_pattern(pattern, int(text.num_hidden_layers), {**text.to_dict(), "dtype": dtype})
    if compensate != OFF:
        if is_quantised(loaded.model):
            raise InputError(not_compensated(loaded, compensate))
        return _compensated(config, loaded, drops, folder, compensate, progress)
    return write_checkpoint(
        loaded,
        drops,
        folder,
        card=card_of(loaded, drops),
        trust_remote_code=config.trust_remote_code,
        progress=progress,
    )


def _compensated(
    config: CalibrationConfig,
    loaded: LoadedModel,
    drops: Drops,
    folder: Path,
    form: str,
    progress: Progress,
) -> ExportReport:
    """Compensate for what a pattern drops, write the checkpoint, and check it."""
    from evop_deap.models.export.export_checkpoint import export_checkpoint
    from evop_deap.recovery.compensation.changed_weights import written
    from evop_deap.runs.compensating import compensated

    anatomy = parts_of(loaded, drops.granularity)
    dropped = drops.positions([part.name for part in anatomy.parts])
    text = make_calibration(
        config,
        loaded.tokenizer,
        context=loaded.context,
        model=lambda: (loaded, anatomy),
        respond=lambda: responder_of(config, lambda: (loaded, anatomy), progress),
        progress=progress,
        kept=cache_folder(),
    )
    progress.stage("compensating")
    about, made = compensated(loaded, anatomy, dropped, text, form)
    outcome = _told(about)
    progress.stage(outcome)
    pruned = made or PrunedModel(loaded.model, anatomy, dropped)
    progress.stage(f"writing and checking {folder}")
    card = card_of(loaded, drops, about)  # its fingerprint is of the weights before they change
    with written(pruned.changes):
        report = export_checkpoint(
            pruned.model,
            pruned.anatomy,
            pruned.dropped,
            loaded.tokenizer,
            folder,
            card=card,
            stored_dtype=loaded.stored_dtype,
            files=loaded.files,
            changed=pruned.changes.keys(),
            beside=loaded.beside.processor,
            trust_remote_code=config.trust_remote_code,
        )
    return replace(report, left_out=loaded.beside.left_out, compensation=outcome)


def _told(about: Mapping[str, Any]) -> str:
    """Return the outcome of compensation in a line."""
    if not about["taken"]:
        return f"not compensated: {about['reason']}"
    losses = about["validation"]
    return (
        f"compensated: {losses['compensated']:.3f} nats a token on validation text, "
        f"{losses['pruned']:.3f} without"
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
    from evop_deap.models.export.export_block_configs import export_block_configs
    from evop_deap.models.export.export_checkpoint import export_checkpoint

    anatomy = parts_of(loaded, drops.granularity)
    if len(anatomy.blocks) != drops.n_blocks:
        raise InputError(
            f"the pattern is about {drops.n_blocks} blocks, but `model` {loaded.name} has "
            f"{len(anatomy.blocks)}"
        )
    dropped = drops.positions([part.name for part in anatomy.parts])
    progress.stage(f"writing and checking {folder}")
    parts = (loaded.model, anatomy, dropped, loaded.tokenizer, folder)
    if format == "block-configs":
        report = export_block_configs(*parts, card=card, stored_dtype=loaded.stored_dtype)
    else:
        report = export_checkpoint(
            *parts,
            card=card,
            stored_dtype=loaded.stored_dtype,
            files=loaded.files,
            beside=loaded.beside.processor,
            trust_remote_code=trust_remote_code,
        )
    return replace(report, left_out=loaded.beside.left_out)


def check_output(
    path: Path, models: Iterable[str | None], *, overwrite: bool, is_text: bool = False
) -> None:
    """Refuse a path that cannot be written, or that holds anything but a checkpoint.

    Args:
        path: the path to write.
        models: names of the models that are read.
        overwrite: whether a checkpoint at `path` may be replaced.
        is_text: whether a text is written there, which may replace a file.

    Raises:
        InputError: the path exists and `overwrite` is not given, or it is no checkpoint, or holds
            other files too, or is of a run or of one of the models.
        OutputError: the path cannot be written.
    """
    check_outside_models(path, "output", models)
    check_outside_runs(path, "output")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        if not overwrite:
            raise InputError(f"`output` {path} exists: choose another, or add --overwrite")
        if not (path / "config.json").is_file() and not (is_text and path.is_file()):
            raise InputError(
                f"`output` {path} is not a checkpoint (no config.json), so --overwrite leaves it "
                "alone: choose another folder"
            )
        if path.is_dir() and (others := not_of_checkpoint(path)):
            raise InputError(
                f"`output` {path} holds {others[0]}, which would be lost with the checkpoint, so "
                "--overwrite leaves both alone: move it, or choose another folder"
            )
    check_writable(path.parent)


def card_of(
    loaded: LoadedModel,
    drops: Drops,
    about: Mapping[str, Any] | None = None,
    *,
    stock: bool = True,
) -> str:
    """Return the README.md of a checkpoint that was made without a search.

    Args:
        loaded: the dense model.
        drops: the dropped parts.
        about: outcome of compensation; None without it.
        stock: whether plain transformers loads the checkpoint, and not vLLM alone.
    """
    from evop_deap.models.loading.fingerprint import fingerprint_model
    from evop_deap.reporting.model_card import else_changed, what_was_changed
    from evop_deap.reporting.parts_kept import front_matter, what_was_kept

    source = markdown(loaded.hub_id or loaded.name)
    were = "was" if len(drops.names) == 1 else "were"
    front = [f"base_model: {loaded.hub_id}"] if loaded.hub_id else []
    front += [
        f"evop_base: {json.dumps(loaded.name)}",
        f"evop_base_fingerprint: {fingerprint_model(loaded.model)}",
        f"evop_base_dtype: {str(loaded.model.dtype).removeprefix('torch.')}",
    ]
    checked = (
        "The checkpoint was reloaded with plain transformers and its logits compared with those "
        "of the model in memory."
    )
    if stock:
        front += ["library_name: transformers", *front_matter(loaded.beside)]
    else:
        checked = (
            "vLLM reads the checkpoint, with `--trust-remote-code`; transformers has no class for "
            "it. Its weights were read back into the dense model without the dropped parts, and "
            "the logits compared."
        )
    return "\n".join(
        [
            "---",
            *front,
            "tags: [evop, layer-pruning, pruned]",
            "---",
            "",
            f"# {source.rstrip('/').rsplit('/', 1)[-1]}, pruned",
            "",
            f"Of the {drops.n_blocks} decoder blocks of {source}, {', '.join(drops.names)} {were} "
            f"removed (counted from 0; attn and mlp are halves), {else_changed(about)}. "
            f"{checked}",
            "",
            *what_was_kept(loaded.beside),
            *what_was_changed(about, "text"),
        ]
    )
