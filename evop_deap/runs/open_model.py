"""Load the model that the settings name, and find its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.runs.listeners.progress import Progress
from evop_deap.settings.calibration_config import CalibrationConfig

if TYPE_CHECKING:
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel


def open_model(
    config: CalibrationConfig, progress: Progress, granularity: str = "block"
) -> tuple[LoadedModel, Anatomy]:
    """Load the model of `config` and find its parts.

    Args:
        config: the model and how to load it.
        progress: receives progress messages.
        granularity: the part that one gene switches: "block" or "half".

    Raises:
        EvopError: the model cannot be loaded, or its blocks cannot be found.
    """
    from evop_deap.models.anatomy.find_anatomy import find_anatomy

    loaded = load_named(config, progress)
    return loaded, find_anatomy(loaded.model, granularity)


def load_named(config: CalibrationConfig, progress: Progress) -> LoadedModel:
    """Load the model of `config` without looking for its parts.

    Raises:
        EvopError: the model cannot be loaded.
    """
    from evop_deap.models.loading.load_model import load_model

    progress.stage(f"loading the model {config.model}")
    return load_model(
        config.model,
        dtype=config.dtype,
        device=config.device,
        attn_implementation=config.attn_implementation,
        revision=config.revision,
        trust_remote_code=config.trust_remote_code,
    )
