"""Generations of several sizes, evaluated in this process: memory, bytes read, time.

    python -m benchmarks.evaluator.streamed_generations --model DIR --weights streamed

It prints JSON. `benchmarks.evaluator.streaming` runs it under a limit of memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from typing import Any

import numpy as np

from benchmarks.common.count_flag import count_flag
from benchmarks.common.peak_memory import forget_peak_memory, peak_memory
from benchmarks.common.record import errors_in_one_line
from benchmarks.evaluator.speed import children_of
from evop_deap.evolution.operators import init_uniform
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.streamed import StreamedEvaluator
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.streaming.streamed_weights import weights_of
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import open_model
from evop_deap.settings.weights_config import WeightsConfig
from evop_deap.space import SearchSpace, units_to_drop

_MIB = 2**20


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Evaluate a generation of each size once, and return what it took."""
    config = WeightsConfig(model=given.model, dtype=given.dtype, device="cpu")
    loaded, anatomy = open_model(config, Progress(), weights=given.weights)
    model, weights = loaded.model, weights_of(loaded.model)
    shape = (given.tokens // given.window, given.window)
    rng = np.random.default_rng(given.seed)
    tokens = rng.integers(len(loaded.tokenizer), size=shape)
    units = model_units(anatomy)
    space = SearchSpace(units, units_to_drop(len(units), given.sparsity))
    budget: Any = {"memory_budget": given.memory_budget * _MIB}
    blocks = [sum(p.numel() for p in block.module.parameters()) for block in anatomy.blocks]
    before = forget_peak_memory()
    rows = []
    for size in given.populations:
        draws = random.Random(size)
        patterns = children_of(init_uniform(space, rng=draws), size, space, draws)
        if weights is None:
            evaluator: Any = PopulationEvaluator(model, anatomy, tokens, **budget)
        else:
            evaluator = StreamedEvaluator(model, anatomy, tokens, weights, **budget)
        reading = None if weights is None else weights.reading
        read, waited = (reading.bytes, reading.seconds_waited) if reading else (0, 0.0)
        forget_peak_memory()
        began = time.perf_counter()
        sums = evaluator.evaluate(patterns).sums
        seconds = time.perf_counter() - began
        rows.append(
            {
                "patterns": len(patterns),
                "seconds": seconds,
                "peak": peak_memory(),
                "bytes_read": reading.bytes - read if reading else 0,
                "waited": (reading.seconds_waited - waited) / seconds if reading else 0.0,
                "sums": hashlib.sha256(sums.tobytes()).hexdigest(),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return {"rows": rows, "peak_before": before, "block": 4 * max(blocks)}


def parser() -> argparse.ArgumentParser:
    """Return a parser with the flags that both commands share."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--model", required=True)
    shared.add_argument("--dtype", default="float32")
    shared.add_argument(
        "--populations", type=count_flag, nargs="+", default=[1, 2, 4, 8, 16, 32, 64]
    )
    shared.add_argument("--tokens", type=count_flag, default=1024)
    shared.add_argument("--window", type=count_flag, default=256)
    shared.add_argument("--sparsity", type=float, default=0.2)
    shared.add_argument("--memory-budget", type=count_flag, default=256, metavar="MIB")
    shared.add_argument("--seed", type=int, default=0)
    return shared


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    line = argparse.ArgumentParser(description=__doc__, parents=[parser()])
    line.add_argument("--weights", choices=("resident", "streamed"), default="streamed")
    with errors_in_one_line():
        print(json.dumps(measure(line.parse_args(arguments))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
