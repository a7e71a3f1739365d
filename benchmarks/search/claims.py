"""Claims on the search compared with other searches, and on its parts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

from benchmarks.common.claim import ROOT, Claim, measured_at, read
from benchmarks.search.curve_reports import Run, by_method, cost_to_reach, named, read_report
from benchmarks.search.when_sure import figures

DEFAULT = "seeded, racing"
"""The name of the default search in `search.curves`."""

CURVES = ("blocks.6", "blocks.10", "halves.12")
BOTH = "block-influence relative-magnitude"


def claims() -> list[Claim]:
    """Claims on landscapes, then on the demo model."""
    return [
        _quality(),
        _racing(),
        *map(_seeding, ("demo.blocks", "demo.blocks.8-29")),
        *_stagnation(),
        *_when_sure(),
        _time_to_quality(),
        *(claim for name in CURVES for claim in _curves(name)),
        *_budget_curve(),
        _block_or_half(),
        _against_heuristics(),
    ]


def _quality() -> Claim:
    file = "search/results/quality.json"
    found = [report["methods"]["seeded"] for report in read(file)["reports"]]
    rates = [one["hit_rate"]["0.05"] for one in found]
    lows = [one["hit_interval"]["0.05"][0] for one in found]
    return Claim(
        f"share of 100 seeds that have seen the optimum after 5 % of the patterns, the least of "
        f"{len(found)} landscapes",
        f"{min(rates):.2f} ({min(lows):.2f} to 1.00)",
        "benchmarks.search.quality --landscape benchmarks/landscapes/*.npz --seeds 100",
        file,
        measured_at(file),
    )


def _racing() -> Claim:
    file = "search/results/racing.demo.json"
    longest = read(file)["reports"][-1]
    return Claim(
        "cost with racing / without; seeds that find the same pattern",
        f"{longest['racing_cost_share']:.2f}; {longest['racing_same_winner']} of "
        f"{longest['racing_seeds']}",
        "benchmarks.search.racing",
        file,
        measured_at(file),
    )


def _seeding(name: str) -> Claim:
    file = f"search/results/seeding.{name}.json"
    inits = read(file)["inits"]
    return Claim(
        f"evaluations to the optimum of {name}, begun with heuristics' picks; balanced",
        "; ".join(
            f"{inits[init]['evaluations']:.1f} ± {inits[init]['error']:.1f}"
            for init in (BOTH, "balanced")
        ),
        f"benchmarks.search.seeding --landscape benchmarks/landscapes/{name}.npz "
        "--text wiki.train.first1MB.txt",
        file,
        measured_at(file),
    )


def _when_sure() -> list[Claim]:
    file = "search/results/when_sure.json"
    report = read(file)
    runs, default = report["runs"], "0.95 sure, twice in a row"
    made_up = [run["source"].startswith("synthetic") for run in runs]
    real, hard = (
        figures(
            [run["endings"][default] for run, one in zip(runs, made_up, strict=True) if one is kind]
        )
        for kind in (False, True)
    )
    command = f"benchmarks.search.when_sure --seeds {report['seeds']}"
    told = (
        ("searches that a sure surrogate ended: regret within the error of the losses", 1),
        ("their cost against 60 generations, median", 3),
    )
    return [
        Claim(
            f"{what}; on synthetic landscapes alone, which are harder",
            f"{real[place]}; {hard[place]}",
            command,
            file,
            measured_at(file),
        )
        for what, place in told
    ]


def _time_to_quality() -> Claim:
    file = "search/results/time_to_quality.demo.json"
    runs = read(file)["runs"]
    found, done = (statistics.median(run[name] for run in runs) for name in ("found", "done"))
    return Claim(
        "seconds to the perplexity that EvoPress's own code reached after 582 s; until all is done",
        f"{found:.0f}; {done:.0f} (medians of {len(runs)} seeds)",
        "benchmarks.search.time_to_quality --calibration set_wiki --perplexity 96.3189 --seeds 3 "
        "--output runs/timed --flags --compensate off --dtype float32",
        file,
        measured_at(file),
    )


def _stagnation() -> list[Claim]:
    file = "search/results/stagnation.json"
    report = read(file)

    def gain(kind: str, after: int) -> str:
        place = report["after"].index(after)
        pairs = [
            run["best"]["three rounds, bolder"][place] - run["best"]["and local search"][place]
            for run in report["runs"]
            if run["kind"] == kind
        ]
        return f"{1e3 * np.mean(pairs):.1f} ± {1e3 * np.std(pairs, ddof=1) / len(pairs) ** 0.5:.1f}"

    return [
        Claim(
            f"mnat that local search gains after 60, 160 evaluations, {kind}",
            f"{gain(kind, 60)}, {gain(kind, 160)}",
            "benchmarks.search.stagnation --seeds 24",
            file,
            measured_at(file),
        )
        for kind in ("12 of 60 halves", "10 of 30 blocks")
    ]


def _curves(name: str) -> list[Claim]:
    file = f"search/results/curves.demo.{name}.json"
    report = read_report(ROOT / file)
    methods = by_method(report)
    default, greedy = methods[DEFAULT], methods["greedy"][0]
    reached = sorted(cost_to_reach(run, math.log(greedy["perplexity"])) for run in default)
    some = [f"{cost:.1f}" for cost in reached if math.isfinite(cost)]
    unraced = _median(methods["seeded"], "cost")
    said = {
        f"perplexity by search, greedy removal, EvoPress's procedure, {named(report)}": ", ".join(
            f"{_median(runs, 'perplexity'):.2f}"
            for runs in (default, [greedy], methods["evopress"])
        ),
        f"cost to reach greedy removal's perplexity, which takes {greedy['cost']:.0f}":
            f"{', '.join(some)} ({len(some)} of {len(reached)} seeds)",
        "cost with racing / without, as many patterns":
            f"{_median(default, 'cost') / unraced:.2f}",
    }  # fmt: skip
    settings = report["settings"]
    command = (
        "benchmarks.search.curves --text wiki.valid.raw --dtype float32 --evaluations 200 "
        f"--seeds 5 --drop {settings['drop']} --granularity {settings['granularity']}"
    )
    return [Claim(what, figure, command, file, measured_at(file)) for what, figure in said.items()]


def _median(runs: Sequence[Run], name: str) -> float:
    return statistics.median(float(run[name]) for run in runs)


def _budget_curve() -> list[Claim]:
    file = "search/results/budget_curve.demo.json"
    runs = read(file)["runs"]
    ways = ("together", "apart")
    budgets = [[run[way]["budgets"] for way in ways] for run in runs]
    same = [a["dropped"] == b["dropped"] for pair in budgets for a, b in zip(*pair, strict=True)]

    def losses(way: str) -> str:
        found = ([row["heldout"] for row in run[way]["budgets"]] for run in runs)
        return ", ".join(f"{statistics.fmean(one):.2f}" for one in zip(*found, strict=True))

    def cost(way: str) -> str:
        return f"{statistics.fmean(run[way]['cost'] for run in runs):.0f}"

    def seconds(way: str) -> str:
        found = (sum(row["seconds"] for row in run[way]["budgets"]) for run in runs)
        return f"{statistics.fmean(found):.0f}"

    said = {
        "held-out loss in nats at 10, 20, 30 % in one run; in a run each": losses,
        "cost in one run; in a run each": cost,
        "seconds in one run; in a run each": seconds,
    }
    rows = {what: "; ".join(map(figure, ways)) for what, figure in said.items()}
    rows["patterns that are the same both ways"] = f"{sum(same)} of {len(same)}"
    command = (
        "benchmarks.search.budget_curve --corpus mixed.jsonl --window 128 --tokens 512 "
        "--heldout-tokens 1024 --generations 20 --population 4 --offspring 4 --seeds 0 1 2 3 4"
    )
    return [Claim(what, figure, command, file, measured_at(file)) for what, figure in rows.items()]


def _block_or_half() -> Claim:
    file = "search/results/block_or_half.demo.json"
    runs = read(file)["runs"]

    def change(blocks: int, text: str) -> str:
        half, block = (
            statistics.fmean(
                run[text]
                for run in runs
                if (run["granularity"], run["blocks"]) == (granularity, blocks)
            )
            for granularity in ("half", "block")
        )
        return f"{100 * math.expm1(half - block):+.0f} %"

    return Claim(
        "test perplexity of halves against that of blocks, 3, 6, 10 blocks' worth; held-out",
        "; ".join(
            ", ".join(change(blocks, text) for blocks in (3, 6, 10)) for text in ("test", "heldout")
        ),
        "benchmarks.search.block_or_half --corpus mixed.jsonl --text wiki.test.raw",
        file,
        measured_at(file),
    )


def _against_heuristics() -> Claim:
    file = "search/results/against_heuristics.demo.json"
    runs = read(file)["runs"]
    return Claim(
        "held-out perplexity by plain evolution; block influence; dense, three seeds",
        "; ".join(
            ", ".join(f"{run['patterns'][name]['heldout']:.1f}" for run in runs)
            for name in ("found", "block influence", "dense")
        ),
        "benchmarks.search.against_heuristics --corpus wiki.train.first1MB.txt --population 12 "
        "--offspring 16 --generations 20 --surrogate none --racing off",
        file,
        "(f43442f)",
    )
