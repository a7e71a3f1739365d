"""The time that a generation of a search takes, measured on a few windows."""

from __future__ import annotations

import random
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.formatting import duration, mebibytes
from evop_deap.settings.search_config import SearchConfig

if TYPE_CHECKING:
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel

_WINDOWS, _PATTERNS, _SHARE = 2, 8, 0.25


@dataclass(frozen=True)
class MeasuredGeneration:
    """What a generation takes.

    Attributes:
        weights: "resident" or "streamed", as the weights were when it was measured.
        dtype: dtype of the computation.
        patterns: patterns of the generation.
        tokens: calibration tokens.
        measured_on: tokens of the measurement.
        seconds: of the generation, scaled from the measurement.
        disk_bytes_per_second: None if the weights cannot be streamed.
        reading_seconds: to read all weights from the disk once; None likewise.
        enough_patterns: the least number of patterns of a generation for which reading streamed
            weights is half of the time or less; None likewise.
    """

    weights: str
    dtype: str
    patterns: int
    tokens: int
    measured_on: int
    seconds: float
    disk_bytes_per_second: float | None = None
    reading_seconds: float | None = None
    enough_patterns: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return lines for a terminal."""
        rows = [
            f"a generation of {self.patterns} patterns over {self.tokens:,} tokens takes about "
            f"{duration(self.seconds)} in {self.dtype} with {self.weights} weights, measured on "
            f"{self.measured_on:,} tokens"
        ]
        if self.disk_bytes_per_second is not None and self.reading_seconds is not None:
            rows.append(
                f"the disk reads {mebibytes(self.disk_bytes_per_second)} a second and all weights "
                f"in {duration(self.reading_seconds)}: with --weights streamed, reading takes less "
                f"than half of the time from --offspring {self.enough_patterns} on"
            )
        return rows


def measured_generation(
    loaded: LoadedModel, anatomy: Anatomy, *, can_stream: bool
) -> MeasuredGeneration:
    """Evaluate a few random patterns on random tokens, and read a part of the weights.

    Args:
        loaded: the model.
        anatomy: its blocks.
        can_stream: whether its weights can be streamed.

    Raises:
        InputError: the model has one block, which no pattern drops.
    """
    if len(anatomy.blocks) == 1:
        raise InputError(
            f"`measure` needs a model of at least two blocks, but {loaded.name} has one: leave it "
            "out"
        )
    import numpy as np

    from evop_deap.fitness.model.evaluators import Evaluators
    from evop_deap.models.anatomy.model_units import model_units
    from evop_deap.models.anatomy.probe import embedding_table
    from evop_deap.models.loading.precision import dtype_of
    from evop_deap.models.loading.shards import stored_in
    from evop_deap.models.streaming.disk_rate import disk_rate, patterns_that_pay
    from evop_deap.models.streaming.streamed_weights import weights_of
    from evop_deap.space import SearchSpace

    plan, rng, units = _defaults(), random.Random(0), model_units(anatomy)
    window = min(plan["window"], loaded.context or plan["window"])
    vocabulary = embedding_table(loaded.model).shape[0]
    tokens = np.random.default_rng(0).integers(0, vocabulary, (_WINDOWS, window))
    space = SearchSpace(units, max(1, round(_SHARE * len(units))))
    evaluator = Evaluators(loaded.model, anatomy).fast(tokens, space, rng=rng)
    patterns = [space.random_pattern(rng) for _ in range(_PATTERNS)]
    weights = weights_of(loaded.model)
    waited = weights.reading.seconds_waited if weights else 0.0
    began = time.perf_counter()
    evaluator.evaluate(patterns)
    took = time.perf_counter() - began
    waited = weights.reading.seconds_waited - waited if weights else 0.0
    times = plan["tokens"] / tokens.size
    pattern = (took - waited) / _PATTERNS * times  # seconds of computing
    rate = reading = enough = None
    if can_stream and loaded.files is not None:
        stored = stored_in(loaded.files).values()
        rate = disk_rate({tensor.file for tensor in stored})
        reading = sum(tensor.size for tensor in stored) / rate
        enough = patterns_that_pay(reading, pattern)
    return MeasuredGeneration(
        weights="resident" if weights is None else "streamed",
        dtype=str(dtype_of(loaded.model)).removeprefix("torch."),
        patterns=plan["offspring"],
        tokens=plan["tokens"],
        measured_on=tokens.size,
        seconds=pattern * plan["offspring"] + waited,
        disk_bytes_per_second=rate,
        reading_seconds=reading,
        enough_patterns=enough,
    )


def _defaults() -> dict[str, int]:
    """Return the settings of a search that say how much a generation computes."""
    names = ("offspring", "tokens", "window")
    return {name: int(getattr(SearchConfig, name)) for name in names}
