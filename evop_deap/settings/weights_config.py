"""The settings for the weights of a search: where they are held, and which are exported."""

from __future__ import annotations

from dataclasses import dataclass

from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.settings.model_options import MODEL
from evop_deap.settings.options import option


@dataclass(frozen=True, kw_only=True)
class WeightsConfig(CalibrationConfig):
    """The settings of a calibration set, and those for the weights of the model."""

    weights: str = option(
        "auto",
        MODEL,
        "hold weights in memory (resident), or leave them in their safetensors files and read them "
        "block by block, once for all patterns of a generation (streamed); auto streams where they "
        "would take more than 80 % of the free memory of the device",
        choices=("resident", "streamed", "auto"),
    )
    export_from: str | None = option(
        None,
        MODEL,
        "the dense original (hub id or folder) of a quantised --model: search the quantised model, "
        "and write the dense one without the same units",
        metavar="MODEL",
    )
