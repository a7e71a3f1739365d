"""What a GPU adds, in one run of a few minutes: streamed weights, stacked patterns, two workers.

    python -m benchmarks.evaluator.on_gpu --model demo --json out.json

- streaming: a generation with weights that stay in their files, and with weights on the device;
  losses must have the same bits.
- stacked: the same generation by a forward pass for each pattern, by the population evaluator with
  a pattern at a time, and with patterns stacked.
- workers: a short search in this process, and with two Ray actors that share the device.

--device cpu does the same on a CPU, to try it out with a small model.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common.count_flag import count_flag
from benchmarks.common.peak_memory import forget_peak_memory, peak_memory
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.evaluator.speed import children_of
from evop_deap.base.errors import InputError
from evop_deap.base.files import write_json
from evop_deap.evolution.operators import init_uniform
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.streamed import StreamedEvaluator
from evop_deap.fitness.protocol import Evaluation
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.streaming.streamed_weights import weights_of
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.open_model import open_model
from evop_deap.runs.run_search import run_search
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import Pattern, SearchSpace, units_to_drop

Row = dict[str, Any]
PARTS = ("streaming", "stacked", "workers")
_HEADER = ["part", "way", "s", "ms a pattern", "peak, MiB", "waiting", "losses"]


def streaming(given: argparse.Namespace) -> list[Row]:
    """Evaluate a generation with both kinds of weights."""
    rows, sums = zip(
        *(_with_weights(given, kind) for kind in ("resident", "streamed")), strict=True
    )
    return [rows[0], {**rows[1], "same": bool(np.array_equal(*sums))}]


def _with_weights(given: argparse.Namespace, kind: str) -> tuple[Row, Any]:
    """Return what a generation takes with one kind of weights, and its sums."""
    _forget_peak(given.device)
    model, anatomy, tokens, patterns = _opened(given, kind)
    weights, more = weights_of(model), dict[str, Any]()
    evaluator: Any = (
        PopulationEvaluator(model, anatomy, tokens, stacked=False)
        if weights is None
        else StreamedEvaluator(model, anatomy, tokens, weights)
    )
    evaluator.evaluate(patterns[:1])  # a first call chooses kernels
    before = None if weights is None else replace(weights.reading)
    row, found = _timed("streaming", kind, lambda: evaluator.evaluate(patterns))
    if weights is not None and before is not None:
        waited = weights.reading.seconds_waited - before.seconds_waited
        more = {
            "waiting": waited / row["seconds"],
            "bytes_read": weights.reading.bytes - before.bytes,
        }
    return {**row, **more, "peak": _peak(given.device)}, found.sums


def stacked(given: argparse.Namespace) -> list[Row]:
    """Evaluate a generation by plain forward passes, and together."""
    model, anatomy, tokens, patterns = _opened(given, "resident")
    ways: dict[str, Callable[[], Any]] = {
        "plain forward": lambda: ReferenceEvaluator(model, anatomy, tokens),
        "not stacked": lambda: PopulationEvaluator(model, anatomy, tokens, stacked=False),
        "stacked": lambda: PopulationEvaluator(model, anatomy, tokens, stacked=True),
    }
    rows: list[Row] = []
    losses: list[Any] = []
    for way, make in ways.items():
        make().evaluate(patterns[:1])
        evaluator = make()
        _forget_peak(given.device)
        row, found = _timed("stacked", way, partial(evaluator.evaluate, patterns))
        losses.append(found.losses)
        difference = float(np.abs(losses[-1] - losses[0]).max())
        rows.append({**row, "peak": _peak(given.device), "difference": difference})
    return rows


def workers(given: argparse.Namespace) -> list[Row]:
    """Search in this process, and with two workers that share the device."""
    config = SearchConfig(
        model=given.model, corpus=given.corpus, device=given.device, dtype=given.dtype,
        sparsity=given.sparsity, window=given.window, tokens=given.tokens,
        heldout_tokens=given.tokens, offspring=given.patterns, generations=2, seed=given.seed,
        weights="resident", compensate="off", cache=False,
    )  # fmt: skip
    share = 0.5 if given.device == "cuda" else None
    rows, found = [], []
    for way, other in (
        ("one process", config),
        ("two workers", config.replace(workers="2", worker_gpus=share)),
    ):
        _forget_peak(given.device)  # the workers need room
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            run_search(other, Path(folder, "run"), progress=Progress())
            rows.append({"part": "workers", "way": way, "seconds": time.perf_counter() - began})
            result = json.loads(Path(folder, "run", "result.json").read_text(encoding="utf-8"))
        found.append({name: result[name] for name in ("dropped", "fitness", "cost", "evaluations")})
    rows[1]["same"] = found[0] == found[1]
    return rows


def table(rows: list[Row]) -> str:
    """A row for each way of each part."""
    lines = []
    for row in rows:
        said = {None: "", True: "same", False: "DIFFER"}[row.get("same")]
        if row.get("difference") is not None:
            said = f"within {row['difference']:.1g} nats"
        each = f"{1000 * row['seconds'] / row['patterns']:.1f}" if "patterns" in row else ""
        peak = f"{row['peak'] / 2**20:,.0f}" if "peak" in row else ""
        waiting = f"{row['waiting']:.0%}" if "waiting" in row else ""
        seconds = f"{row['seconds']:.2f}"
        lines.append([row["part"], row["way"], seconds, each, peak, waiting, said])
    return markdown_table(_HEADER, lines)


def _opened(given: argparse.Namespace, weights: str) -> tuple[Any, Any, Any, list[Pattern]]:
    """Return the model, its anatomy, the windows and the patterns, the same in every call."""
    config = SearchConfig(
        model=given.model, device=given.device, dtype=given.dtype, sparsity=given.sparsity
    )
    loaded, anatomy = open_model(config, Progress(), weights=weights)
    rng, draws = np.random.default_rng(given.seed), random.Random(given.seed)
    shape = (given.tokens // given.window, given.window)
    tokens = rng.integers(len(loaded.tokenizer), size=shape)
    units = model_units(anatomy)
    space = SearchSpace(units, units_to_drop(len(units), given.sparsity))
    patterns = children_of(init_uniform(space, rng=draws), given.patterns, space, draws)
    return loaded.model, anatomy, tokens, patterns


def _timed(part: str, way: str, evaluate: Callable[[], Evaluation]) -> tuple[Row, Evaluation]:
    """Return what an evaluation took and found; its losses are on the host when it returns."""
    began = time.perf_counter()
    found = evaluate()
    seconds = time.perf_counter() - began
    return {"part": part, "way": way, "seconds": seconds, "patterns": len(found.sums)}, found


def _forget_peak(device: str) -> None:
    """Measure the peak from now on, without the memory of models that are gone."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        forget_peak_memory()


def _peak(device: str) -> int:
    """Return the peak memory in bytes: of the device, or of this process on a CPU."""
    return int(torch.cuda.max_memory_allocated()) if device == "cuda" else peak_memory()


def _parser() -> argparse.ArgumentParser:
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--model", default="demo")
    line.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    line.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    line.add_argument("--dtype", default="float32")
    line.add_argument("--patterns", type=count_flag, default=32)
    line.add_argument("--tokens", type=count_flag, default=8192)
    line.add_argument("--window", type=count_flag, default=512)
    line.add_argument("--sparsity", type=float, default=0.2)
    line.add_argument("--corpus", default=SearchConfig.corpus, help="for the search of workers")
    line.add_argument("--seed", type=int, default=0)
    line.add_argument("--json", type=Path, metavar="FILE")
    return line


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = _parser().parse_args(arguments)
    with errors_in_one_line():
        if given.device == "cuda" and not torch.cuda.is_available():
            raise InputError(
                "`device` cuda is not on this machine: run this where a CUDA device is, or choose "
                "--device cpu with a small model"
            )
        run = {"streaming": streaming, "stacked": stacked, "workers": workers}
        rows = [row for part in given.parts for row in run[part](given)]
        print(table(rows))
        if given.json is not None:
            asked = {name: value for name, value in vars(given).items() if name != "json"}
            write_json(given.json, {**asked, **circumstances(), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
