"""Scores of units kept by model and text: the same picks at the same charge, without a pass."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from toy_models import anatomy_of, shared_toy, toy_tokens

from evop_deap.evolution.strategies import Seeds
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.heuristics.first_patterns import scorers_of, seeding_methods, seeds_of
from evop_deap.heuristics.kept_scores import KeptScores
from evop_deap.heuristics.task import ModelParts, Task
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.space import SearchSpace

METHODS = ("block-influence", "relative-magnitude")


def seeded(folder: Path | None, windows: np.ndarray, granularity: str = "block") -> Seeds:
    """Seed a search as a run does, up to its first checkpoint."""
    model = shared_toy("llama")
    anatomy = anatomy_of(model, granularity)
    space, parts = SearchSpace(model_units(anatomy), n_drop=2), ModelParts(model, anatomy, windows)
    methods = seeding_methods(METHODS, space)
    task = Task(space, PopulationEvaluator(model, anatomy, windows), random.Random(0), parts=parts)
    kept = KeptScores(parts, fingerprint_model(model), folder)
    known = kept.known(task, scorers_of(methods))
    task = Task(space, task.evaluator, random.Random(0), parts=parts, scores=known)
    seeds = seeds_of(methods, task, kept.hold)
    kept.release()
    return seeds


@pytest.mark.parametrize("granularity", ["block", "half"])
def test_known_scores_give_the_same_seeds_at_the_same_charge(
    tmp_path: Path, granularity: str
) -> None:
    windows = toy_tokens().numpy()
    anew, cold, warm = (seeded(f, windows, granularity) for f in (None, tmp_path, tmp_path))
    assert anew.picks == cold.picks == warm.picks
    assert anew.losses == cold.losses == warm.losses
    assert anew.cost == cold.cost == warm.cost > 0
    assert cold.work.executed > warm.work.executed


def test_other_text_or_a_damaged_file_is_scored_anew(tmp_path: Path) -> None:
    windows, other = toy_tokens().numpy(), toy_tokens(seed=2).numpy()
    cold = seeded(tmp_path, windows)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    assert seeded(tmp_path, other).work == cold.work
    path.write_bytes(whole[:-30])
    assert seeded(tmp_path, windows) == cold
    assert path.read_bytes() == whole


def test_scores_are_written_only_once_they_are_released(tmp_path: Path) -> None:
    model = shared_toy("llama")
    anatomy, windows = anatomy_of(model), toy_tokens().numpy()
    space, parts = SearchSpace(model_units(anatomy), n_drop=2), ModelParts(model, anatomy, windows)
    task = Task(space, PopulationEvaluator(model, anatomy, windows), random.Random(0), parts=parts)
    kept = KeptScores(parts, fingerprint_model(model), tmp_path)
    seeds_of(seeding_methods(METHODS, space), task, kept.hold)
    assert kept.known(task, METHODS) == {}
    kept.release()
    assert set(kept.known(task, METHODS)) == set(METHODS)
