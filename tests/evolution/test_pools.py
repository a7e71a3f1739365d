"""Toolboxes and evaluators in other processes."""

from __future__ import annotations

import multiprocessing
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deap import algorithms
from toy_landscapes import toy_landscape
from toy_models import shared_toy

import evop_deap
from evop_deap.base.errors import InputError
from evop_deap.evolution.assemble import assemble, assemble_front
from evop_deap.evolution.nsga2 import front_toolbox
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.evolution.trade import Trade
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.store import LossStore
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.space import SearchSpace
from evop_deap.space.allowances import Allowance

LANDSCAPE = toy_landscape()
SPACE = SearchSpace(LANDSCAPE.units, 3)
TABLES = {
    "landscape": TabularEvaluator(LANDSCAPE),
    "table": TabularEvaluator(dict.fromkeys([(0,) * 9], 1.0), missing=2.0),
    "cached": CachedEvaluator(TabularEvaluator(LANDSCAPE)),
}


@pytest.mark.parametrize("name", TABLES)
def test_everything_in_a_toolbox_pickles_and_draws_on_as_before(name: str) -> None:
    toolbox = make_toolbox(SPACE, TABLES[name], random.Random(0))
    copy = pickle.loads(pickle.dumps(toolbox))
    for tool, function in vars(toolbox).items():
        assert pickle.loads(pickle.dumps(function)), tool

    def drawn(toolbox: Any) -> list[Any]:
        population = toolbox.population(n=6)
        parents = toolbox.select([_known(p) for p in population], 2)
        children = toolbox.mate(*map(toolbox.clone, parents))
        return [population, parents, [toolbox.mutate(child) for child in children]]

    assert drawn(copy) == drawn(toolbox)


def _known(individual: Any) -> Any:
    individual.fitness.values = (float(individual.index(0)),)
    return individual


def test_a_toolbox_with_a_budget_and_that_of_a_front_pickle() -> None:
    rng = random.Random(0)
    weighed = SearchSpace.within(LANDSCAPE.units, (Allowance("parameters", (100,) * 9, 300),))
    for toolbox in (
        make_toolbox(weighed, TABLES["cached"], rng),
        front_toolbox(Trade(SPACE, (1.0,) * 9), rng, EvolutionSettings()),
    ):
        copy = pickle.loads(pickle.dumps(toolbox))
        assert copy.mutate(copy.individual())


def test_whole_searches_and_their_states_pickle() -> None:
    evaluator = CachedEvaluator(TabularEvaluator(LANDSCAPE))
    searches = [
        assemble(SPACE, evaluator, random.Random(0), EvolutionSettings()),
        assemble_front(Trade(SPACE, (1.0,) * 9), evaluator, random.Random(0), EvolutionSettings()),
    ]
    for search in searches:
        copy = pickle.loads(pickle.dumps(search))
        assert pickle.loads(pickle.dumps(copy.toolbox))
    copy = pickle.loads(pickle.dumps(searches[0]))
    states: list[EvolutionState] = [one.run(Stopping(generations=4)) for one in (searches[0], copy)]
    assert states[0].losses == states[1].losses
    assert pickle.loads(pickle.dumps(states[0])).population == states[0].population


def test_deap_evolves_with_a_pool_of_processes_as_without() -> None:
    def best(mapped: Any) -> Any:
        rng = random.Random(0)
        random.seed(0)  # DEAP's algorithms draw from the global generator
        toolbox = make_toolbox(SPACE, TabularEvaluator(LANDSCAPE), rng)
        if mapped is not None:
            toolbox.register("map", mapped)
        population, _ = algorithms.eaMuPlusLambda(
            toolbox.population(n=6), toolbox, 6, 12, 0.5, 0.5, 4, verbose=False
        )
        return sorted((member.loss, member.pattern) for member in population)

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert best(pool.map) == best(None)


def test_an_evaluator_of_a_model_says_in_one_line_why_it_does_not_pickle(tmp_path: Path) -> None:
    model = shared_toy("llama")
    tokens = np.arange(16).reshape(2, 8)
    for evaluator in (
        PopulationEvaluator(model, find_anatomy(model), tokens),
        ReferenceEvaluator(model, find_anatomy(model), tokens),
    ):
        toolbox = make_toolbox(SPACE, CachedEvaluator(evaluator), random.Random(0))
        with pytest.raises(InputError, match="holds a model.*one in each process") as raised:
            pickle.dumps(toolbox.evaluate)
        assert "\n" not in str(raised.value)
    with (
        LossStore(tmp_path / "losses.sqlite") as store,
        pytest.raises(InputError, match="LossStore holds an open file.*one in each process"),
    ):
        pickle.dumps(store)


def test_a_pool_says_so_too() -> None:
    model = shared_toy("llama")
    evaluator = PopulationEvaluator(model, find_anatomy(model), np.arange(16).reshape(2, 8))
    space = SearchSpace(LANDSCAPE.units[:5], 2)
    toolbox = make_toolbox(space, evaluator, random.Random(0))
    with (
        multiprocessing.get_context("spawn").Pool(1) as pool,
        pytest.raises(InputError, match="holds a model"),
    ):
        pool.map(toolbox.evaluate, toolbox.population(n=2))


def test_operators_are_importable_from_the_front() -> None:
    from evop_deap.evolution import operators

    public = [name for name, value in vars(operators).items() if _is_operator(name, value)]
    assert {"init_uniform", "mate_agreeing", "mutate_mixed", "select_tournament"} <= set(public)
    for name in public:
        assert getattr(evop_deap, name) is getattr(operators, name)
        assert name in evop_deap.__all__


def _is_operator(name: str, value: Any) -> bool:
    own = getattr(value, "__module__", "") == "evop_deap.evolution.operators"
    return own and callable(value) and not name.startswith("_")
