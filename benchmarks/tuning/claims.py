"""Claims on a study of the evolution's settings."""

from __future__ import annotations

from benchmarks.common.claim import Claim, measured_at, read

LANDSCAPES = "benchmarks/landscapes"
UNSEEN = f"{LANDSCAPES}/{{tiny16.blocks.5,demo.blocks.8-29,demo.blocks,demo.halves}}.npz"


def claims() -> list[Claim]:
    """Claims on the study, on its result, and on mutation rates."""
    return [
        _study(),
        *(
            claim
            for preset in ("default", "tuned")
            for claim in (
                _saved(
                    preset,
                    "",
                    "landscapes that the study never saw",
                    f"--seeds 40 --landscape {UNSEEN}",
                ),
                _saved(
                    preset,
                    "demo.",
                    "the demo model at three sizes",
                    f"--seeds 20 --drop 1 2 3 --landscape {LANDSCAPES}/demo.blocks.npz",
                ),
            )
        ),
        _mutation(),
    ]


def _study() -> Claim:
    file = "tuning/results/study.json"
    trials = [trial for trial in read(file)["trials"] if trial["state"] == "COMPLETE"]
    hand = next(trial["values"][0] for trial in trials if trial["number"] == 0)
    best = min(trial["values"][0] for trial in trials)
    return Claim(
        "evaluations to the optimum with settings made by hand; in the best of 1,000 trials",
        f"{hand:.1f}; {best:.1f}",
        f"evop_deap.tune --landscape {LANDSCAPES}/tiny{{12.blocks.5,14.blocks.5,18.blocks.4}}.npz "
        "--n-trials 1000 --seeds 2 "
        "--objective evaluations --epsilon 0 --max-cost 25 --pruner wilcoxon",
        file,
        "(4f5e64a)",
    )


def _saved(preset: str, prefix: str, where: str, flags: str) -> Claim:
    file = f"tuning/results/tuned_vs_default.{prefix}{preset}.json"
    report = read(file)

    def share(name: str) -> str:
        low, high = report[f"{name}_interval"]
        return f"{_percent(report[name])} % ({_percent(low)} to {_percent(high)})"

    return Claim(
        f"evaluations; cost that the preset {preset} saves beside settings made by hand, {where}",
        f"{share('reduction')}; {share('cost_reduction')}",
        f"benchmarks.tuning.tuned_vs_default --preset {preset} "
        f"--against benchmarks/tuning/hand_set.yaml --evaluations 300 {flags}",
        file,
        measured_at(file),
    )


def _percent(share: float) -> int:
    return round(100 * share)


def _mutation() -> Claim:
    file = "tuning/results/mutation.json"
    report = read(file)
    cells = [
        (share, population, rate)
        for population, row in zip(report["populations"], report["success"], strict=True)
        for rate, share in zip(report["rates"], row, strict=True)
    ]
    share, population, rate = max(cells)
    names = (name.removesuffix(".npz") for name in report["landscapes"])
    return Claim(
        "largest share of searches without a surrogate that find the optimum in 120 evaluations",
        f"{share:.3f} with {population} patterns and a mutation rate of {rate:g}",
        f"benchmarks.tuning.mutation --seeds {report['seeds']} "
        f"--landscape {LANDSCAPES}/{{{','.join(names)}}}.npz",
        file,
        "(81a87c7)",
    )
