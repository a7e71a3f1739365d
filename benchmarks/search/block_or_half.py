r"""Dropping attention and MLP halves compared with dropping whole blocks.

    python -m benchmarks.search.block_or_half --corpus mixed.jsonl --text wiki.test.raw \
        --output runs/block_or_half --json out.json

Both drop equally many parameters (n attention and n MLP halves, or n blocks) and search at equal
cost. The runs are kept in `--output`; finished ones are not repeated. The models of the first seed
are timed in turns with the dense one.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.count_flag import count_flag
from benchmarks.common.kept_runs import searched
from benchmarks.common.record import circumstances, errors_in_one_line, markdown_table
from evop_deap.base.files import write_json
from evop_deap.evaluation.perplexity import cut_windows
from evop_deap.evaluation.sizes import file_bytes, measure_sizes
from evop_deap.evaluation.speed import Spread, measure_speed
from evop_deap.evaluation.window_losses import window_losses
from evop_deap.models.loading.load_model import LoadedModel, load_model
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.search_config import SearchConfig
from evop_deap.text.whole_texts import read_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BLOCK, HALF = "block", "half"
TIMED = ("prefill", "decode")


def config_of(config: SearchConfig, granularity: str, count: int, seed: int) -> SearchConfig:
    """The settings of a search that drops `count` blocks, or `count` halves of either kind."""
    budget = f"units={count}" if granularity == BLOCK else f"attn={count},mlp={count}"
    return config.replace(sparsity=(), budget=budget, granularity=granularity, seed=seed)


def row_of(
    granularity: str, count: int, result: SearchResult, test_losses: NDArray[np.float64]
) -> dict[str, Any]:
    """The figures of a run: dropped units, losses in nats per token, and cost."""
    assert result.checkpoint is not None
    return {
        "granularity": granularity,
        "blocks": count,
        "seed": result.seed,
        "dropped": list(result.dropped),
        "parameters": result.parameters["pruned"],
        "layers": result.checkpoint["layers"],
        "half_layers": result.checkpoint["half_layers"],
        "bytes": result.checkpoint["bytes"],
        "calibration": result.calibration.loss["pruned"],
        "heldout": result.heldout.loss["pruned"],
        "test": float(test_losses.mean()),
        "evaluations": result.evaluations,
        "cost": result.cost,
        "seconds": result.seconds,
    }


def speeds_of(
    models: Mapping[str, PreTrainedModel], batches: Sequence[int], repeats: int
) -> list[dict[str, Any]]:
    """The speed of each model relative to the dense one, which is the first."""
    rows = []
    for batch in batches:
        dense, *others = measure_speed([*models.values()], batch=batch, repeats=repeats)
        for name, speed in zip([*models][1:], others, strict=True):
            gains = {what: _spread(speed.speedup(dense, what)) for what in TIMED}
            rows.append({"model": name, **speed.as_dict(), "speedup": gains})
    return rows


def _spread(spread: Spread) -> dict[str, float]:
    return {name: round(value, 4) for name, value in dataclasses.asdict(spread).items()}


def measure(
    config: SearchConfig,
    counts: Sequence[int],
    seeds: Sequence[int],
    output: Path,
    test: argparse.Namespace,
) -> dict[str, Any]:
    """Search at every granularity, number of blocks and seed; then evaluate and time the models."""
    text = read_text(str(test.text))  # read first, so that an unreadable text fails early
    found: dict[tuple[str, int, int], tuple[SearchResult, RunFolder]] = {}
    for seed in seeds:
        for count in counts:
            for granularity in (BLOCK, HALF):
                folder = RunFolder(output / f"{granularity}-{count}-{seed}")
                result = searched(config_of(config, granularity, count, seed), folder)
                found[granularity, count, seed] = result, folder
    dense = load_model(config.model, dtype=config.dtype)
    ((_, windows),) = cut_windows(
        dense.tokenizer,
        text,
        window=test.test_window,
        max_windows=test.test_tokens // test.test_window,
    )
    rows, timed = [], {"dense": dense.model}
    evaluated: dict[tuple[str, ...], NDArray[np.float64]] = {}
    for (granularity, count, seed), (result, folder) in found.items():
        model = _reloaded(folder, dense)
        if result.dropped not in evaluated:
            evaluated[result.dropped] = window_losses(model, windows)
        rows.append(row_of(granularity, count, result, evaluated[result.dropped]))
        if seed == seeds[0]:
            timed[f"{granularity}-{count}"] = model
    first = next(iter(found.values()))[0]
    return {
        "dense": {
            **measure_sizes(dense).as_dict(),
            "bytes": file_bytes(config.model),
            "calibration": first.calibration.loss["dense"],
            "heldout": first.heldout.loss["dense"],
            "test": float(window_losses(dense.model, windows).mean()),
        },
        "runs": rows,
        "speed": speeds_of(timed, test.batches, test.repeats),
    }


def _reloaded(folder: RunFolder, dense: LoadedModel) -> PreTrainedModel:
    """The checkpoint, loaded from its folder in the dtype of the dense model."""
    dtype = str(dense.model.dtype).removeprefix("torch.")
    return load_model(str(folder.model), dtype=dtype).model


def table(report: Mapping[str, Any]) -> str:
    """Geometric means of perplexities over seeds, with a row for each size and granularity."""
    dense, runs = report["dense"], report["runs"]
    speeds = {row["model"]: row["speedup"] for row in report["speed"] if row["batch"] == 1}
    rows = [
        _row("0", "dense", [dense], f"{dense['blocks']}", ["", "1.00", "1.00"]),
    ]
    for count, granularity in dict.fromkeys((run["blocks"], run["granularity"]) for run in runs):
        own = [r for r in runs if (r["blocks"], r["granularity"]) == (count, granularity)]
        layers = ", ".join(f"{r['layers']} ({r['half_layers']})" for r in own)
        gains = speeds[f"{granularity}-{count}"]
        cost = f"{statistics.fmean(r['cost'] for r in own):.1f}"
        rows.append(
            _row(
                str(count),
                granularity,
                own,
                layers,
                [cost, *(f"{gains[what]['median']:.2f}" for what in TIMED)],
            )
        )
    return markdown_table(
        [
            "blocks' worth dropped",
            "units",
            "calibration",
            "held-out",
            "test",
            "layers (of them half empty)",
            "parameters",
            "MB",
            "cost",
            "prefill",
            "decode",
        ],
        rows,
    )


def _row(
    count: str, name: str, runs: Sequence[Mapping[str, Any]], layers: str, rest: list[str]
) -> list[str]:
    losses = [
        math.exp(statistics.fmean(run[text] for run in runs))
        for text in ("calibration", "heldout", "test")
    ]
    parameters = statistics.fmean(run["parameters"] for run in runs) / 1e6
    size = statistics.fmean(run["bytes"] for run in runs) / 1e6
    figures = [f"{loss:.2f}" for loss in losses]
    return [count, name, *figures, layers, f"{parameters:.1f} M", f"{size:.0f}", *rest]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, search, evaluate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--corpus", default="demo")
    parser.add_argument(
        "--drop", type=count_flag, nargs="+", default=[3, 6, 10], help="numbers of blocks"
    )
    parser.add_argument("--window", type=count_flag, default=256)
    parser.add_argument("--tokens", type=count_flag, default=1024)
    parser.add_argument("--heldout-tokens", type=count_flag, default=2048)
    parser.add_argument("--max-cost", type=float, default=40.0, help="of each search")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--text", type=Path, required=True, help="to test on, such as wiki.test")
    parser.add_argument("--test-window", type=count_flag, default=512)
    parser.add_argument("--test-tokens", type=count_flag, default=8192)
    parser.add_argument("--batches", type=count_flag, nargs="+", default=[1, 4])
    parser.add_argument("--repeats", type=count_flag, default=7)
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    config = SearchConfig(
        compensate="off",
        model=given.model,
        dtype=given.dtype,
        corpus=given.corpus,
        window=given.window,
        tokens=given.tokens,
        heldout_tokens=given.heldout_tokens,
        generations=None,
        max_cost=given.max_cost,
        sparsity=(0.5,),  # of none of the runs: each has its budget
        cache=False,  # what is taken from it costs nothing
    )
    report = measure(config, given.drop, given.seeds, given.output, given)
    print(table(report))
    if given.json:
        places = {"model", "corpus", "text", "output", "json"}
        settings = {name: value for name, value in vars(given).items() if name not in places}
        names = {name: Path(getattr(given, name)).name for name in ("model", "corpus", "text")}
        write_json(given.json, {**circumstances(), "settings": {**names, **settings}, **report})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
