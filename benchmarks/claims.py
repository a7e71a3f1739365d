"""The index of claims: the main figures of the project, each with its source.

python -m benchmarks.claims

The table that it prints is the one in benchmarks/README.md. Figures are read from committed
results; only figures without a file are constants here.
"""

from __future__ import annotations

import argparse

from benchmarks.board.claims import claims as of_board
from benchmarks.calibration.claims import claims as of_calibration
from benchmarks.common.claim import Claim
from benchmarks.common.record import markdown_table
from benchmarks.distributed.claims import claims as of_distributed
from benchmarks.evaluator.claims import claims as of_evaluator
from benchmarks.interop.claims import claims as of_interop
from benchmarks.recovery.claims import claims as of_recovery
from benchmarks.search.claims import claims as of_search
from benchmarks.tuning.claims import claims as of_tuning

BY_HAND = "by hand"


def claims() -> list[Claim]:
    """All claims, by folder."""
    rooms = (
        *(of_board, of_search, of_calibration, of_evaluator, of_distributed),
        *(of_tuning, of_interop, of_recovery),
    )
    return [*(claim for room in rooms for claim in room()), *_of_commands()]


def _of_commands() -> list[Claim]:
    """Claims on runs whose results are not committed."""
    return [
        Claim(
            "first run in README: held-out perplexity dense, pruned, compensated; cost",
            "13.47, 40.34, 17.49; 84.7",
            "evop_deap.search --model demo --sparsity 0.2 --output runs/demo",
            "",
            "b8bc311",
        ),
        Claim(
            "perplexity of that checkpoint / of the dense model; difference in nats a token",
            "2.82; +1.037 ± 0.024",
            "evop_deap.evaluate runs/demo/model --against demo --perplexity wiki.test.raw "
            "--window 512 --max-windows 20",
            "",
            "62f9f74",
        ),
        Claim(
            "healed - compensated, accuracy in points, six tasks of 200 questions: without 13 to "
            "18; SLEB's; block influence's",
            "1.3 ± 1.0; 1.2 ± 0.9; 1.9 ± 0.9",
            "evop_deap.evaluate healed/mixed/model --tasks-from tasks --limit 200 --tasks piqa "
            "arc_easy arc_challenge winogrande hellaswag openbookqa",
            "",
            "927effd",
        ),
        Claim(
            "evaluations to the optimum of seven landscapes, begun with heuristics' picks; with "
            "balanced patterns",
            "33; 37",
            "benchmarks.search.quality --landscape benchmarks/landscapes/*.npz --seeds 40",
            "",
            "838cf7d",
        ),
        Claim(
            "perplexity by block influence without 20 of 60 halves, as blocks, as halves, some of "
            "both; without 6",
            "567, 879, 329; 138, 118, 129",
            "evop_deap.search --model demo --corpus wiki.train.first1MB.txt --granularity half "
            "--sparsity 0.33 --init block-influence --window 64 --tokens 512 --output runs/picks",
            "",
            "13661b7",
        ),
    ]


def index() -> str:
    """A table with a row for each claim; cells equal to the one above are left empty."""
    rows, above = [], ("", "", "")
    for claim in claims():
        source = (f"`{claim.command}`", _linked(claim.file), claim.commit)
        rows.append([claim.what, claim.figure, *("″" * 3 if source == above else source)])
        above = source
    return markdown_table(["what", "figure", "`python -m …`", "file", "commit"], rows)


def _linked(file: str) -> str:
    return f"[{file.split('/')[-1]}]({file})" if file else BY_HAND


def main() -> None:
    """Parse and print."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None).parse_args()
    print(index())


if __name__ == "__main__":
    main()
