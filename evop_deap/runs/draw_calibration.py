"""Make a calibration set from settings: corpus, encoder, clusters and windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evop_deap.base.errors import InputError
from evop_deap.base.formatting import counted
from evop_deap.base.user_folders import CLUSTERED, EMBEDDINGS
from evop_deap.runs.listeners.progress import Progress
from evop_deap.settings.calibration_config import CLUSTERS, CalibrationConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from evop_deap.calibration import CalibrationSet
    from evop_deap.calibration.ccds import Stratification
    from evop_deap.calibration.herding import Respond
    from evop_deap.calibration.strata import StratifiedWindows
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel

_Config = TypeVar("_Config", bound=CalibrationConfig)

# Settings that a calibration set in a folder fixes, in addition to those of its clusters.
_SETTLED = (
    *("corpus", "text_column", "window", "tokens", "heldout_tokens", "compensation_tokens"),
    "check_against",
)


def make_calibration(
    config: CalibrationConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    context: int | None,
    model: Callable[[], tuple[LoadedModel, Anatomy]],
    respond: Callable[[], Respond],
    progress: Progress,
    kept: Path | None,
    on_strata: Callable[[Stratification, StratifiedWindows], object] | None = None,
) -> CalibrationSet:
    """Draw a calibration set from the corpus, or read one from a folder.

    Args:
        config: settings of the calibration set.
        tokenizer: tokenizer of the model.
        context: context length of the model in tokens; None without a limit.
        model: loads the model; called where its hidden states are the embedding.
        respond: prepares the model to evaluate probe patterns; called where windows are selected
            by response.
        progress: receives progress messages.
        kept: the user's cache folder; None to embed and cluster anew.
        on_strata: called with the clusters and the windows drawn from them.

    Raises:
        EvopError: the corpus, the encoder or the folder cannot be used.
    """
    from evop_deap.calibration import build_calibration, load_calibration, load_corpus

    if config.is_stored:
        folder = Path(config.calibration).expanduser()
        progress.stage(f"reading the calibration set {config.calibration}")
        found = load_calibration(folder, tokenizer, context=context)
        _check_settled(config, found)
        return found
    progress.stage(f"reading the corpus {config.corpus}")
    corpus = load_corpus(config.corpus, text_column=config.text_column)
    if corpus.left_out:
        progress.stage(f"corpus {corpus.name}: {corpus.left_out}")
    checked = None
    if config.check_against:
        from evop_deap.calibration.contamination import WORDS, without_repeats

        corpus, refused, files = without_repeats(corpus, config.check_against)
        progress.stage(
            f"left out, as they repeat evaluation data: {counted(len(refused), 'document')}"
        )
        entries = [dataclasses.asdict(refusal) for refusal in refused]
        checked = {"files": files, "words": WORDS, "refused": entries}
    clustered = config.calibration == "ccds"
    made = build_calibration(
        corpus,
        tokenizer,
        window=config.window,
        tokens=config.tokens,
        heldout_tokens=config.heldout_tokens,
        seed=config.seed,
        compensation_tokens=config.compensation_tokens,
        context=context,
        stratify=_sampler(config, model, progress, kept) if clustered else None,
        respond=respond() if clustered and config.select == "response" else None,
        weighting=config.weighting if clustered else "none",
        strategy=config.calibration,
        on_strata=on_strata,
    )
    if checked is not None:
        made.manifest["checked_against"] = checked
    return made


def check_text(config: CalibrationConfig) -> None:
    """Refuse missing text early, because loading a model can take minutes.

    Raises:
        InputError: the corpus, or a file to check it against, does not exist.
    """
    from evop_deap.calibration.contamination import check_evaluation_files
    from evop_deap.text.corpus import check_corpus

    if not config.is_stored:
        check_corpus(config.corpus)
        check_evaluation_files(config.check_against)


def settled_by(config: _Config, made: CalibrationSet) -> _Config:
    """Return the settings with the actual sizes of a calibration set in a folder."""
    if not config.is_stored:
        return config
    return config.replace(**_sizes(made))


def _check_settled(config: CalibrationConfig, made: CalibrationSet) -> None:
    """Refuse settings that differ from the set in a folder; default values are ignored."""
    settings = made.manifest.get("settings", {})
    sizes = _sizes(made)
    for field in dataclasses.fields(CalibrationConfig):
        name = field.name
        if name not in _SETTLED and field.metadata["group"] != CLUSTERS:
            continue
        asked, default = config.as_dict()[name], field.default
        default = list(default) if isinstance(default, tuple) else default
        if asked not in (default, settings.get(name), sizes.get(name)):
            raise InputError(
                f"`{name}` is {asked}, but the calibration set in {config.calibration} has "
                f"{settings.get(name, sizes.get(name))}: leave it out, or make another set"
            )


def _sizes(made: CalibrationSet) -> dict[str, int]:
    sizes = {
        "window": made.calibration.tokens.shape[1],
        "tokens": made.calibration.tokens.size,
        "heldout_tokens": made.heldout.tokens.size,
    }
    if made.compensation is not None:
        sizes["compensation_tokens"] = made.compensation.tokens.size
    return sizes


def _sampler(
    config: CalibrationConfig,
    model: Callable[[], tuple[LoadedModel, Anatomy]],
    progress: Progress,
    kept: Path | None,
) -> Any:
    from evop_deap.calibration.ccds import ClusterSampler

    return ClusterSampler(
        encoder=_encoder(config, model, progress),
        reducer=config.reducer,
        min_cluster_size=config.min_cluster_size,
        allocation=config.allocation,
        within=config.within,
        folder=kept and kept / EMBEDDINGS,
        clusters=kept and kept / CLUSTERED,
        on_stage=progress.stage,
    )


def _encoder(
    config: CalibrationConfig,
    model: Callable[[], tuple[LoadedModel, Anatomy]],
    progress: Progress,
) -> Any:
    """Return the encoder that `embedding` names."""
    from evop_deap.calibration.embedding import (
        MiddleStates,
        TfidfEncoder,
        load_sentence_encoder,
    )

    if config.embedding == "tfidf":
        return TfidfEncoder()
    if config.embedding == "model":
        loaded, anatomy = model()
        return MiddleStates(loaded.model, anatomy, loaded.tokenizer, on_encoded=progress.embedded)
    return load_sentence_encoder(
        config.embedding,
        device=config.device,
        trust_remote_code=config.trust_remote_code,
        on_encoded=progress.embedded,
    )
