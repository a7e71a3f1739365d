"""Choose 5 of 20 numbers so that their sum is as near as possible to a target."""

from __future__ import annotations

import optuna
import optunahub

module = optunahub.load_module("samplers/pattern_evolution")
NUMBERS = [i * i + 3 for i in range(20)]
NAMES = [f"number {i}" for i in range(20)]


def objective(trial: optuna.Trial) -> float:
    """Distance between 500 and the sum of the numbers that are not kept."""
    keep = module.suggest_pattern(trial, NAMES)
    chosen = [number for number, kept in zip(NUMBERS, keep, strict=True) if not kept]
    return abs(sum(chosen) - 500)


if __name__ == "__main__":
    study = optuna.create_study(sampler=module.PatternSampler(NAMES, n_drop=5, seed=0))
    study.optimize(objective, n_trials=200)
    print(study.best_value, [name for name in NAMES if study.best_params[name] == 0])
