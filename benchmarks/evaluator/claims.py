"""Claims on evaluating patterns together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.common.claim import Claim, measured_at, read
from benchmarks.evaluator.streaming import compared

SPEED = "benchmarks.evaluator.speed --corpus wiki.train.first1MB.txt"


def claims() -> list[Claim]:
    """Claims on seconds on three machines, and on counted work."""
    return [
        _speed("demo", "two cores, float32", "--dtype float32", "(a849a15)"),
        _speed("h200.bfloat16", "an H200, bfloat16", "--dtype bfloat16", "(16c96fa)"),
        _speed("h200.float32", "an H200, float32", "--dtype float32", "(16c96fa)"),
        _look_up(),
        _cost_curve(),
        *_quantised(),
        *_streaming(),
    ]


def _speed(name: str, machine: str, flags: str, commit: str) -> Claim:
    file = f"evaluator/results/speed.{name}.json"
    report = read(file)
    names = [*report["populations"]]
    return Claim(
        f"times as fast as a forward pass a pattern, {', '.join(names)}, {machine}",
        ", ".join(f"{report[f'{one}_ratio']:.2f}" for one in names),
        f"{SPEED} {flags}" + ("" if "pairs" in names else " --populations offspring random"),
        file,
        commit,
    )


def _quantised() -> Iterator[Claim]:
    file = "evaluator/results/quantised.demo.json"
    for row in read(file)["rows"][1:]:
        yield Claim(
            f"rank correlation of losses of 40 patterns in {row['weights']} with float32; regret, "
            "nats",
            f"{row['rank_correlation']:.3f}; {row['regret']:.3f}",
            "benchmarks.evaluator.quantised --corpus mixed.jsonl --windows 4 --window 64",
            file,
            measured_at(file),
        )


def _streaming() -> Iterator[Claim]:
    for name, size, flags in (
        ("qwen-0.5b", "0.5B", "--limit 1536 --tokens 512 --populations 1 4 16 32 --search 3 "
         "--export 9,10,11,12,13"),
        ("qwen-1.5b", "1.5B", "--limit 2560 --tokens 256 --window 256 --populations 1 4 16 "
         "--search 1 --export 11,12,13,14,15"),
    ):  # fmt: skip
        file = f"evaluator/results/streaming.{name}.json"
        report = read(file)
        rows = compared(report)
        resident = [row["peak"] for row in report["resident"]["rows"]]
        counts = ", ".join(str(row["patterns"]) for row in rows)
        yield Claim(
            f"streamed weights of {size} parameters, {counts} patterns: peak MiB, with weights in "
            "memory; share of time waiting; time, of that in memory",
            f"{_range([row['peak'] / 2**20 for row in rows], ',.0f')}, "
            f"{_range([peak / 2**20 for peak in resident], ',.0f')}; "
            f"{_range([row['waited'] for row in rows], '.2%')}; "
            f"{_range([row['times_resident'] for row in rows], '.2f')}",
            f"benchmarks.evaluator.streaming --model demo-{name} {flags}",
            file,
            measured_at(file),
        )
    file = "evaluator/results/streaming.8b.json"
    report = read(file)
    (row,) = report["streamed"]["rows"]
    yield Claim(
        f"streamed weights of 8B parameters, 1,024 tokens, {row['patterns']} patterns: peak MiB; "
        "share of time waiting; peak MiB of the export",
        f"{row['peak'] / 2**20:,.0f}; {row['waited']:.2%}; {report['export']['peak'] / 2**20:,.0f}",
        "benchmarks.evaluator.streaming --model big --limit 6144 --no-resident --populations 16 "
        "--tokens 1024 --dtype bfloat16 --export 10,11,12,13,14,15,16,17",
        file,
        measured_at(file),
    )


def _range(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} to {max(values):{form}}"


def _look_up() -> Claim:
    file = "evaluator/results/speed.demo.json"
    return Claim(
        "microseconds to look up a pattern whose loss is known",
        f"{read(file)['lookup_us']:.1f}",
        f"{SPEED} --dtype float32",
        file,
        "(a849a15)",
    )


def _cost_curve() -> Claim:
    file = "evaluator/results/cost_curve.demo.json"
    some = {row["patterns"]: row for row in read(file)["rows"] if row["sparsity"] == 0.2}
    return Claim(
        "cost a pattern in generations of 8, 32, 128, 512, 6 of 30 blocks dropped",
        ", ".join(f"{some[size]['cost'] / size:.2f}" for size in (8, 32, 128, 512)),
        "benchmarks.evaluator.cost_curve --corpus wiki.train.first1MB.txt --dtype float32",
        file,
        "(a849a15)",
    )
