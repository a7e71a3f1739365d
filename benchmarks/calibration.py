"""Whether clusters are the corpus's kinds of text, and what choosing by them buys.

    python -m benchmarks.calibration clusters --corpus mixed.jsonl --json clusters.json
    python -m benchmarks.calibration replay --corpus mixed.jsonl --other wiki.txt --json replay.json

`clusters` compares the clusters with the column `domain`, which they never see. `replay`
judges patterns on every window of a pool once, with the population evaluator, keeping losses
in the user's cache as they are found, and then plays every sampling strategy on that matrix.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.clusters import clusters_table, measure_clusters
from benchmarks.loss_matrix import pool_of
from benchmarks.record import circumstances, errors_in_one_line, markdown_table
from benchmarks.replay import TRUTHS, replay, strategies
from evop_deap.files import write_json


def measure_replay(given: argparse.Namespace) -> dict[str, Any]:
    """Every strategy at every budget, for each length of window."""
    pools = []
    for window in given.windows:
        pool, names, about = pool_of(given, window)
        counts = [budget // window for budget in given.budgets if budget >= window]
        rows = replay(pool, strategies(pool, names), counts, draws=given.draws, seed=given.seed)
        pools.append({**about, "rows": rows})
        print(replay_table(about, rows), flush=True)
    return {"pools": pools}


def replay_table(about: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """A row a strategy and budget."""
    lines = [
        [
            row["strategy"],
            str(row["windows"] * about["window"]),
            *(_pair(row, truth) for truth in TRUTHS),
            f"{row['worst_domain_perplexity']:.1f}",
        ]
        for row in rows
    ]
    header = ["strategy", "tokens", "Kendall, regret in mnat", "by domains", "worst domain"]
    return markdown_table(header, lines)


def _pair(row: dict[str, Any], truth: str) -> str:
    kendall, regret = (row[f"{name}_{truth}"]["mean"] for name in ("kendall", "regret"))
    return f"{kendall:.3f}, {1000 * regret:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print and write."""
    given = _parser().parse_args(arguments)
    if given.command == "clusters":
        report = measure_clusters(given)
        print(clusters_table(report))
    else:
        report = measure_replay(given)
    if given.json:
        settings = {k: v for k, v in vars(given).items() if k not in ("json", "command")}
        for name in ("corpus", "other"):  # where they lie is nobody's business
            if settings.get(name):
                settings[name] = Path(settings[name]).name
        write_json(given.json, {**circumstances(), "settings": settings, **report})
        print(given.json, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    clusters = commands.add_parser("clusters", help="clusters against true domains")
    clusters.add_argument("--reducer", default="umap")
    clusters.add_argument("--tokens", type=int, default=16384, help="of the set that is drawn")
    clusters.add_argument("--window", type=int, default=256)
    clusters.add_argument("--repeat-to", type=int, metavar="N", help="perturbed vectors to N")
    replaying = commands.add_parser("replay", help="every strategy on one loss matrix")
    replaying.add_argument("--other", help="a corpus that nothing is judged on: wiki.train")
    replaying.add_argument("--windows", type=int, nargs="+", default=[128, 256])
    replaying.add_argument("--pool-tokens", type=int, default=131072)
    replaying.add_argument(
        "--budgets", type=int, nargs="+", default=[1024, 2048, 4096, 8192, 16384]
    )
    replaying.add_argument("--sparsities", type=float, nargs="+", default=[0.1, 0.2])
    replaying.add_argument("--random", type=int, default=20, help="patterns a sparsity")
    replaying.add_argument("--near", type=int, default=16, help="survivors of a search, likewise")
    replaying.add_argument("--generations", type=int, default=5, help="of that search")
    replaying.add_argument("--probes", type=int, default=4, help="of a sparsity; never judged")
    replaying.add_argument("--draws", type=int, default=1000)
    replaying.add_argument("--dtype", default="auto")
    for command in (clusters, replaying):
        command.add_argument("--corpus", required=True, help="JSON lines: id, domain, text")
        command.add_argument("--model", default="demo")
        command.add_argument("--embedding", default="demo")
        command.add_argument("--min-cluster-size", type=int)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--json", type=Path)
    return parser


if __name__ == "__main__":
    with errors_in_one_line():
        main()
