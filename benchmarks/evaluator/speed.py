"""Speed of evaluating a generation together, compared with one pattern at a time.

Three ways to evaluate the same patterns on the same windows are timed in turns in one process:
(a) the way of published searches: for each pattern a forward pass of transformers, whole logits,
    and `cross_entropy` in the model's dtype;
(b) the reference evaluator; (c) the population evaluator.

    python -m benchmarks.evaluator.speed --corpus wiki.train.txt --dtype bfloat16 --json out.json

The populations are 64 children of one pattern (1 to 3 swaps), 64 random patterns, and every
pair of blocks. (a) and (b) take the same time for all patterns with equally many dropped blocks,
so they are timed on a few patterns of each population; (c) is timed on all of them.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common.count_flag import count_flag
from benchmarks.common.peak_memory import forget_peak_memory, peak_memory
from benchmarks.common.record import (
    circumstances,
    errors_in_one_line,
    markdown_table,
    without_folders,
)
from benchmarks.landscapes import DEMO_LANDSCAPE
from benchmarks.search import racing
from benchmarks.search.racing import DEFAULTS
from evop_deap.base.files import write_json
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.operators import init_uniform, mutate_swap
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.model.tiles import tile_for
from evop_deap.fitness.protocol import Evaluator
from evop_deap.models.anatomy.exit import find_exit
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.stages.prepare import prepare
from evop_deap.settings.search_config import SearchConfig
from evop_deap.space import Pattern, SearchSpace, dropped_units

POPULATIONS = ["offspring", "random", "pairs"]
FEW = 3  # patterns of a population on which (a) and (b) are timed in each round


def populations(space: SearchSpace, rng: random.Random) -> dict[str, list[Pattern]]:
    """Return the three populations by name."""
    children = children_of(init_uniform(space, rng=rng), 64, space, rng)
    fresh: dict[Pattern, None] = {}
    while len(fresh) < min(64, space.size):
        fresh[init_uniform(space, rng=rng).pattern] = None
    pairs = [space.pattern(pair) for pair in itertools.combinations(range(len(space.units)), 2)]
    return {"offspring": children, "random": list(fresh), "pairs": pairs}


def children_of(elite: Genome, count: int, space: SearchSpace, rng: random.Random) -> list[Pattern]:
    """Return different mutants of one pattern, most of them with one to three swaps.

    They are `count`, or all that there are.
    """
    children: dict[Pattern, None] = {}
    while len(children) < min(count, space.size - 1):
        (child,) = mutate_swap(Genome(elite), rng=rng, droppable=space.droppable, more=0.5)
        if child.pattern != elite.pattern:
            children[child.pattern] = None
    return list(children)


def published_way(prepared: Prepared, pattern: Pattern) -> float:
    """The loss of one pattern, computed as in published searches."""
    model = prepared.loaded.model
    tokens = torch.as_tensor(prepared.text.calibration.tokens, device=model.device)
    with torch.inference_mode(), bypassed(prepared.anatomy, dropped_units(pattern)):
        logits = model(input_ids=tokens, use_cache=False).logits
        shifted = logits[:, :-1].reshape(-1, logits.shape[-1])
        return float(torch.nn.functional.cross_entropy(shifted, tokens[:, 1:].reshape(-1)))


def seconds_of(work: Callable[[], object]) -> float:
    """Run `work` and return its time in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def roofline_seconds(prepared: Prepared, patterns: Sequence[Pattern]) -> float:
    """Seconds of the matrix products in the distinct work of `patterns`: a lower limit."""
    tokens = prepared.text.calibration.tokens.size
    model, anatomy = prepared.loaded.model, prepared.anatomy
    steps = {(p[:d], d) for p in patterns for d in range(len(p)) if p[d]}
    block = sum(
        _product_seconds(tokens, p.shape[0], p.shape[1], p)
        for p in anatomy.blocks[0].module.parameters()
        if p.ndim == 2
    )
    tile, weight = tile_for(model.device), find_exit(model, anatomy).weight
    words, width = weight.shape
    one = _product_seconds(tile.tokens, tile.words, width, weight)
    head = one * (tokens / tile.tokens) * (words / tile.words)
    return len(steps) * block + len(patterns) * head


def _product_seconds(rows: int, out: int, inner: int, like: torch.Tensor) -> float:
    left, right = (torch.randn(count, inner).to(like) for count in (rows, out))
    room = torch.empty(rows, out).to(like)

    def multiply() -> None:
        torch.mm(left, right.T, out=room)
        if like.is_cuda:
            torch.cuda.synchronize()

    return statistics.median(seconds_of(multiply) for _ in range(15))


def measure(prepared: Prepared, names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Measure the populations of these names; return the content of the JSON file."""
    model, anatomy, tokens = (
        prepared.loaded.model,
        prepared.anatomy,
        prepared.text.calibration.tokens,
    )
    groups = populations(prepared.space, random.Random(0))
    before = forget_peak_memory()
    together = PopulationEvaluator(model, anatomy, tokens)
    held = together.evaluate(groups["offspring"][:16]).work.bytes_held
    extra = (peak_memory() - before) / 2**20
    one_by_one = ReferenceEvaluator(model, anatomy, tokens)
    report: dict[str, Any] = {
        "extra_memory_mib": extra,
        "states_held_mib": held / 2**20,
        "populations": {},
    }
    for name in names:
        patterns = groups[name]
        times: dict[str, list[float]] = {"a": [], "b": [], "c": []}
        for turn in range(rounds if len(patterns) < 100 else max(1, rounds // 3)):
            few = patterns[turn * FEW : (turn + 1) * FEW]
            times["a"].append(seconds_of(lambda: [published_way(prepared, p) for p in few]) / FEW)  # noqa: B023
            times["b"].append(seconds_of(lambda: one_by_one.evaluate(few)) / FEW)  # noqa: B023
            # A new evaluator in each round, without kept states.
            fresh = PopulationEvaluator(model, anatomy, tokens)
            times["c"].append(seconds_of(lambda: fresh.evaluate(patterns)) / len(patterns))  # noqa: B023
            print(name, {k: round(v[-1], 3) for k, v in times.items()}, file=sys.stderr, flush=True)
        medians = {way: statistics.median(values) for way, values in times.items()}
        asked = sum(sum(pattern) for pattern in patterns)
        report["populations"][name] = {
            "patterns": len(patterns),
            "seconds_per_pattern": medians,
            "rounds": times,
            "blocks_asked_per_pattern": asked / len(patterns),
            "blocks_executed_per_pattern": len(
                {(p[:d], d) for p in patterns for d in range(len(p)) if p[d]}
            )
            / len(patterns),
            "roofline_share": roofline_seconds(prepared, patterns) / len(patterns) / medians["c"],
        }
        report[f"{name}_ratio"] = medians["a"] / medians["c"]
    if "offspring" in names:
        report["roofline_share"] = report["populations"]["offspring"]["roofline_share"]
    report["lookup_us"] = lookup_microseconds(together, groups["offspring"])
    return report


def lookup_microseconds(evaluator: Evaluator, patterns: Sequence[Pattern]) -> float:
    """Median microseconds per pattern for a population whose losses are all known."""
    cached = CachedEvaluator(evaluator)
    cached.restore({pattern: np.ones(len(cached.tokens)) for pattern in patterns})
    rounds = [seconds_of(lambda: cached.evaluate(patterns)) for _ in range(50)]
    return statistics.median(rounds) / len(patterns) * 1e6


def table(report: dict[str, Any]) -> str:
    """A row for each population."""
    rows = []
    for name, group in report["populations"].items():
        seconds = group["seconds_per_pattern"]
        rows.append(
            [
                f"{name} ({group['patterns']})",
                *(f"{seconds[way]:.2f}" for way in "abc"),
                f"{seconds['a'] / seconds['c']:.2f}",
                f"{seconds['b'] / seconds['c']:.2f}",
                f"{group['blocks_executed_per_pattern']:.1f} of "
                f"{group['blocks_asked_per_pattern']:.0f}",
                f"{group['roofline_share']:.2f}",
            ]
        )
    header = ["population", "a, s", "b, s", "c, s", "a/c", "b/c", "blocks run", "roofline"]
    return markdown_table(header, rows)


def main() -> None:
    """Parse, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--corpus", default="demo")
    parser.add_argument("--sparsity", type=float, default=0.2)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tokens", type=count_flag, default=2048, help="in windows of 256")
    parser.add_argument(
        "--populations",
        nargs="+",
        choices=POPULATIONS,
        default=POPULATIONS,
        help="which to evaluate",
    )
    parser.add_argument(
        "--rounds",
        type=count_flag,
        default=3,
        help="of each population; a third of them of the pairs",
    )
    parser.add_argument("--landscape", type=Path, default=DEMO_LANDSCAPE, help="for racing")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    config = SearchConfig(
        compensate="off",
        model=given.model,
        corpus=given.corpus,
        sparsity=given.sparsity,
        dtype=given.dtype,
        tokens=given.tokens,
    )
    prepared = prepare(config, Progress())
    report = measure(prepared, given.populations, given.rounds)
    raced = racing.measure(given.landscape, seeds=20, generations=DEFAULTS.generations or 20)
    report |= {name: value for name, value in raced.items() if name.startswith("racing_")}
    print(table(report))
    print(
        f"\n{report['extra_memory_mib']:.0f} MiB above the model, "
        f"{report['lookup_us']:.1f} us a look-up, {prepared.loaded.model.dtype}; with racing "
        f"the same winner in {report['racing_same_winner']} of {report['racing_seeds']} seeds "
        f"at {report['racing_cost_share']:.2f} of the cost"
    )
    if given.json:
        settings = without_folders(config.as_dict(), "corpus")
        settings["dtype"] = str(prepared.loaded.model.dtype)
        write_json(given.json, {**report, **circumstances(), "settings": settings})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
