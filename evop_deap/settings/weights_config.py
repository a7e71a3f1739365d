"""The setting for where a search holds the weights of its model."""

from __future__ import annotations

from dataclasses import dataclass

from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.settings.model_options import MODEL
from evop_deap.settings.options import option


@dataclass(frozen=True, kw_only=True)
class WeightsConfig(CalibrationConfig):
    """The settings of a calibration set, and where the weights of the model are held."""

    weights: str = option(
        "auto",
        MODEL,
        "hold weights in memory (resident), or leave them in their safetensors files and read them "
        "block by block, once for all patterns of a generation (streamed); auto streams where they "
        "would take more than 80 % of the free memory",
        choices=("resident", "streamed", "auto"),
    )
