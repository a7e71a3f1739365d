"""The model to heal: a run's or another checkpoint, its dense model, and the text they allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evop_deap.base.data_files import read_utf8
from evop_deap.base.errors import InputError
from evop_deap.base.user_paths import existing_path
from evop_deap.runs.card_fields import card_field
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.settings.config_files import read_config
from evop_deap.settings.healing_config import HealingConfig
from evop_deap.settings.search_config import SearchConfig


@dataclass(frozen=True)
class HealSource:
    """A pruned checkpoint and its origin.

    Attributes:
        checkpoint: folder of the checkpoint.
        base: name of the dense model.
        fingerprint: hash of the dense model; None if the source does not tell it.
        dtype: dtype of the dense model that the hash is of.
        revision: branch, tag or commit of the dense model on the hub.
        corpus: corpus to train on.
        text_column: column of the corpus with the text.
        reported: SHA-256 of documents that the source was reported on.
        dropped: names of the units that the pattern drops; empty if unknown.
        compensated: whether the checkpoint is compensated.
        card: text of its README.md; None without one.
        text_only: whether it is of the language model of a multimodal one alone.
    """

    checkpoint: Path
    base: str
    fingerprint: str | None
    dtype: str
    corpus: str
    text_column: str | None
    revision: str | None = None
    reported: frozenset[str] = field(default_factory=frozenset)
    dropped: tuple[str, ...] = ()
    compensated: bool = False
    card: str | None = None
    text_only: bool = False


def heal_source(config: HealingConfig) -> HealSource:
    """Read what a run's folder, or a checkpoint with its card, says of its origin.

    Raises:
        InputError: it is neither, or the dense model or a corpus is not known.
    """
    path = Path(config.source).expanduser()
    if RunFolder(path).config.is_file():
        return _of_run(config, path)
    if (path / "adapter_config.json").is_file():
        raise InputError(
            f"`source` {path} holds adapters and no checkpoint: heal the checkpoint that they are "
            "for, or merge them into it first"
        )
    if not (path / "config.json").is_file():
        raise InputError(
            f"`source` must be the folder of a finished run or a checkpoint folder, but {path} "
            "has neither config.yaml nor config.json"
        )
    card = _text(path / "README.md")
    base = config.base or _field(card, "evop_base") or _field(card, "base_model")
    if base is None:
        raise InputError(
            f"`base` is required: {path} has no model card that names its dense model; "
            "give it with --base"
        )
    if config.corpus is None:
        raise InputError("`corpus` is required: a checkpoint does not say which text to train on")
    return HealSource(
        checkpoint=path,
        base=base,
        fingerprint=_field(card, "evop_base_fingerprint"),
        dtype=_field(card, "evop_base_dtype") or "float32",
        corpus=config.corpus,
        text_column=config.text_column,
        card=card,
        text_only=_field(card, "evop_text_only") == "true",
    )


def _of_run(config: HealingConfig, path: Path) -> HealSource:
    run = load_run(path)
    names = RunFolder(path)
    if run.result is None:
        raise InputError(f"`source` {path} is a run without a result: finish it first")
    if not names.model.is_dir():
        raise InputError(f"`source` {path} is a run that has no model: it could not be exported")
    result, settings = run.result, read_config(names.config)
    corpus = config.corpus or _corpus_of(settings)
    about: Mapping[str, Any] = run.calibration or {}
    reported = (about.get("heldout") or {}).get("documents") or []
    card = _text(names.model / "README.md")
    # The dense model is the one whose weights were exported.
    other = settings.export_from and _field(card, "evop_base_fingerprint")
    return HealSource(
        checkpoint=names.model,
        base=config.base or settings.export_from or result.model,
        fingerprint=other or result.model_fingerprint,
        dtype=(other and _field(card, "evop_base_dtype")) or result.dtype,
        corpus=corpus,
        # The run's column is of the run's corpus.
        text_column=config.text_column or (None if config.corpus else settings.text_column),
        revision=None if config.base or other else settings.revision,
        reported=frozenset(one["sha256"] for one in reported),
        dropped=() if result.merged else result.dropped,
        compensated=result.is_compensated,
        card=card,
        text_only=settings.text_only,
    )


def _corpus_of(settings: SearchConfig) -> str:
    """Return the corpus of a run. A calibration folder holds windows, and no documents.

    Raises:
        InputError: the run was calibrated by a folder.
    """
    if existing_path(settings.calibration, "calibration") is not None:
        raise InputError(
            f"`corpus` is required: the run was calibrated by the folder {settings.calibration}, "
            "which holds windows and not documents"
        )
    return settings.corpus


def _field(card: str | None, name: str) -> str | None:
    return card_field(card, name, "source")


def _text(path: Path) -> str | None:
    return read_utf8(path, f"`source`: {path}") if path.is_file() else None
