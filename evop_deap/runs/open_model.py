"""Load the model that the settings name, and find its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.runs.listeners.progress import Progress
from evop_deap.settings.calibration_config import CalibrationConfig

if TYPE_CHECKING:
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel


def open_model(
    config: CalibrationConfig,
    progress: Progress,
    granularity: str = "block",
    weights: str = "resident",
) -> tuple[LoadedModel, Anatomy]:
    """Load the model of `config` and find its parts.

    Args:
        config: the model and how to load it.
        progress: receives progress messages.
        granularity: the part that one gene switches: "block" or "half".
        weights: where the weights are held; see `load_model`.

    Raises:
        EvopError: the model cannot be loaded, or its blocks cannot be found.
    """
    loaded = load_named(config, progress, weights=weights)
    return loaded, parts_of(loaded, granularity)


def parts_of(loaded: LoadedModel, granularity: str) -> Anatomy:
    """Find the parts of a model.

    Raises:
        UnsupportedModelError: they cannot be found; of a multimodal model, it names `text_only`.
    """
    from evop_deap.models.anatomy.find_anatomy import find_anatomy

    try:
        return find_anatomy(loaded.model, granularity)
    except UnsupportedModelError as error:
        if not loaded.beside.kept:
            raise
        raise UnsupportedModelError(
            f"{error}; `text_only` takes the language model without {loaded.beside.kept}"
        ) from error


def load_named(
    config: CalibrationConfig,
    progress: Progress,
    *,
    as_stored: bool = False,
    weights: str = "resident",
) -> LoadedModel:
    """Load the model of `config` without looking for its parts; say what is left out of it.

    Args:
        config: the model and how to load it.
        progress: receives progress messages.
        as_stored: leave the weights in their file until they are read; see `load_model`.
        weights: where the weights are held; see `load_model`.

    Raises:
        EvopError: the model cannot be loaded.
    """
    from evop_deap.models.anatomy.devices import is_spread
    from evop_deap.models.anatomy.quantisation import is_quantised
    from evop_deap.models.loading.load_model import load_model

    progress.stage(f"loading the model {config.model}")
    loaded = load_model(
        config.model,
        dtype=config.dtype,
        device=config.device,
        attn_implementation=config.attn_implementation,
        revision=config.revision,
        trust_remote_code=config.trust_remote_code,
        text_only=config.text_only,
        as_stored=as_stored,
        weights=weights,
        tell=progress.stage,
    )
    for said in loaded.beside.left_out:
        progress.stage(f"left out: {said}")
    dtype = loaded.streams_in or (loaded.model.dtype if as_stored else None)
    on_cpu = loaded.model.device.type == "cpu" and not is_spread(loaded.model)
    if dtype is not None and on_cpu and not is_quantised(loaded.model):
        from evop_deap.models.streaming.streamed_weights import StreamedWeights

        StreamedWeights(loaded.model, dtype, loaded.device or loaded.model.device)
    return loaded
