r"""Agreement of clusters with the domains of a corpus, and the gain from choosing text by them.

    python -m benchmarks.calibration clusters --corpus mixed.jsonl --json clusters.json
    python -m benchmarks.calibration losses --corpus mixed.jsonl --other wiki.txt \
        --window 128 --output losses.128.npz
    python -m benchmarks.calibration replay --losses losses.128.npz --json replay.json

`clusters` compares the clusters with the column `domain`, which the clustering does not use.
`losses` evaluates patterns on every window of a pool, with the population evaluator, preferably on
an accelerator. `replay` applies every sampling strategy to that matrix.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.calibration.clusters import clusters_table, measure_clusters
from benchmarks.calibration.loss_matrix import load_matrix, matrix_of, pool_of, save_matrix
from benchmarks.calibration.replay import replay, strategies
from benchmarks.calibration.replay_tables import replay_table
from benchmarks.common.count_flag import count_flag
from benchmarks.common.record import circumstances, errors_in_one_line, without_folders
from evop_deap.base.files import write_text


def measure_replay(given: argparse.Namespace) -> dict[str, Any]:
    """Measure every strategy at every budget, for each matrix."""
    pools = []
    for path in given.losses:
        pool, names, about = pool_of(load_matrix(path), given)
        window = about["window"]
        counts = [budget // window for budget in given.budgets if budget >= window]
        rows = replay(pool, strategies(pool, names), counts, draws=given.draws, seed=given.seed)
        pools.append({**about, "rows": rows})
        print(replay_table(about, rows), flush=True)
    return {"pools": pools}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print and write."""
    given = _parser().parse_args(arguments)
    if given.command == "losses":
        matrix = matrix_of(given)
        save_matrix(given.output, matrix)
        print(f"{matrix.sums.shape[0]} patterns on {matrix.sums.shape[1]} windows")
        return
    if given.command == "clusters":
        report = measure_clusters(given)
        print(clusters_table(report))
    else:
        report = measure_replay(given)
    if given.json:
        settings = without_folders(
            {k: v for k, v in vars(given).items() if k not in ("json", "command")},
            *("corpus", "losses"),
        )
        whole = {**circumstances(), "settings": settings, **report}
        write_text(given.json, json.dumps(whole, allow_nan=False) + "\n")  # of thousands of figures
        print(given.json, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    clusters = commands.add_parser("clusters", help="clusters against true domains")
    clusters.add_argument("--reducer", default="umap")
    clusters.add_argument("--tokens", type=count_flag, default=16384, help="of the calibration set")
    clusters.add_argument("--window", type=count_flag, default=256)
    clusters.add_argument("--repeat-to", type=int, metavar="N", help="perturbed vectors to N")
    losses = commands.add_parser("losses", help="patterns evaluated on every window of a pool")
    losses.add_argument("--other", help="a corpus that nothing is evaluated on: wiki.train")
    losses.add_argument("--window", type=count_flag, default=128)
    losses.add_argument("--pool-tokens", type=count_flag, default=131072)
    losses.add_argument("--other-tokens", type=count_flag, default=16384)
    losses.add_argument("--sparsities", type=float, nargs="+", default=[0.1, 0.2])
    losses.add_argument(
        "--like", type=Path, metavar="FILE", help="matrix whose patterns to evaluate"
    )
    losses.add_argument("--random", type=int, default=20, help="patterns per sparsity")
    losses.add_argument("--near", type=int, default=16, help="survivors of a search per sparsity")
    losses.add_argument("--generations", type=count_flag, default=5, help="of that search")
    losses.add_argument("--probes", type=int, default=4, help="probes per sparsity; never compared")
    losses.add_argument("--dtype", default="auto")
    losses.add_argument("--output", type=Path, required=True)
    replaying = commands.add_parser("replay", help="every strategy on matrices of losses")
    replaying.add_argument("--losses", type=Path, nargs="+", required=True)
    replaying.add_argument(
        "--budgets", type=count_flag, nargs="+", default=[1024, 2048, 4096, 8192, 16384]
    )
    replaying.add_argument("--draws", type=count_flag, default=1000)
    for command in (clusters, losses):
        command.add_argument("--corpus", required=True, help="JSON lines: id, domain, text")
        command.add_argument("--model", default="demo")
    for command in (clusters, replaying):
        command.add_argument("--embedding", default="demo")
        command.add_argument("--min-cluster-size", type=count_flag)
        command.add_argument("--json", type=Path)
    for command in (clusters, losses, replaying):
        command.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    with errors_in_one_line():
        main()
