"""Claims on the choice of calibration text."""

from __future__ import annotations

import math
import statistics
from typing import Any

from benchmarks.common.claim import Claim, measured_at, read

DEFAULT = "ccds sqrt random"
"""The name in `replay` of the default `--calibration ccds`."""


def claims() -> list[Claim]:
    """Claims on clusters, replayed losses, whole searches and validation."""
    return [*map(_clusters, ("mixed", "mixed_50k")), *_replay(), _searches(), *_near_equals()]


def _clusters(name: str) -> Claim:
    file = f"calibration/results/clusters.{name}.json"
    report = read(file)
    repeated = " --repeat-to 50000" if name == "mixed_50k" else ""
    return Claim(
        f"homogeneity and mutual information of clusters with domains, {report['documents']:,} "
        "documents; seconds",
        f"{report['homogeneity']:.3f}, {report['nmi']:.3f}; {report['seconds']:.0f}",
        f"benchmarks.calibration clusters --corpus mixed.jsonl{repeated}",
        file,
        measured_at(file) or "(bd9c2b2)",
    )


def _replay() -> list[Claim]:
    file = "calibration/results/replay.demo.json"
    pool = read(file)["pools"][0]
    found = {(row["strategy"], row["windows"] * pool["window"]): row for row in pool["rows"]}

    def regret(strategy: str, truth: str) -> str:
        row = found[strategy, 4096][f"regret_{truth}"]
        low, high = (1e3 * end for end in row["confidence"])
        return f"{1e3 * row['mean']:.1f} ({low:.1f} to {high:.1f})"

    said = {
        "regret in mnat over kinds of text, 4,096 tokens drawn by clusters; at random":
            [regret(strategy, "domains") for strategy in (DEFAULT, "random")],
        "regret in mnat over all tokens, likewise":
            [regret(strategy, "tokens") for strategy in (DEFAULT, "random")],
        "regret in mnat over kinds of text, 4,096 tokens of WikiText alone":
            [regret("only other text", "domains")],
    }  # fmt: skip
    command = "benchmarks.calibration replay --losses losses.128.npz losses.256.npz"
    return [
        Claim(what, "; ".join(figures), command, file, measured_at(file))
        for what, figures in said.items()
    ]


def _searches() -> Claim:
    file = "calibration/results/searches.demo.json"
    report = read(file)
    kinds = [name for name in report["dense"] if name != "wiki.test.raw"]

    def mean(chosen: str) -> str:
        runs = (run["losses"] for run in report["runs"] if run["set"] == chosen)
        losses = (statistics.fmean(run[kind] for kind in kinds) for run in runs)
        return f"{math.exp(statistics.fmean(losses)):.1f}"

    return Claim(
        "perplexity over kinds of text, searched on random documents, by clusters, WikiText alone",
        ", ".join(map(mean, ("random", "ccds", "other"))),
        "benchmarks.calibration.searches --corpus mixed.jsonl --other wiki.train.first1MB.txt "
        "--text wiki.test.raw",
        file,
        measured_at(file),
    )


def _near_equals() -> list[Claim]:
    file = "calibration/results/near_equals.demo.json"
    rows: list[dict[str, Any]] = read(file)["rows"]
    return [
        Claim(
            "regret in mnat if calibration text, validation text, both decide, "
            f"{row['dropped']} of 30 blocks",
            ", ".join(
                f"{1e3 * row['regret'][by]:.1f} ± {1e3 * row['error'][by]:.1f}"
                for by in ("calibration", "validation", "both")
            ),
            "benchmarks.calibration.near_equals losses.128.npz --draws 1000",
            file,
            "(f32c84c)",
        )
        for row in rows
        if (row["calibrate"], row["validate"]) == (8, 8)
    ]
