"""One source of defaults, and one assembly of a search from it."""

from __future__ import annotations

import dataclasses
import inspect
import random
import subprocess
import sys
from collections.abc import Callable

import pytest
from toy_landscapes import toy_landscape

from evop_deap import PatternSampler, SearchConfig
from evop_deap.evolution import operators
from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.stopping import Stopping
from evop_deap.evolution.toolbox import make_toolbox
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.plain_function import FunctionEvaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.settings.presets import preset_settings
from evop_deap.space import SearchSpace, Unit

DEFAULTS = dataclasses.asdict(EvolutionSettings())
LANDSCAPE = toy_landscape(0, units=9, drops=(0, 3))
SPACE = SearchSpace(LANDSCAPE.units, n_drop=3)


def test_a_configuration_that_says_nothing_has_the_defaults_of_the_evolution() -> None:
    config = SearchConfig(model="demo", sparsity=0.2)
    assert config.evolution == EvolutionSettings()
    assert config.replace(population=9, racing="off").evolution == EvolutionSettings(
        population=9, racing="off"
    )
    assert EvolutionSettings.of(preset_settings("default")) == EvolutionSettings()


def test_a_configuration_says_when_to_stop() -> None:
    config = SearchConfig(
        model="demo",
        sparsity=0.2,
        generations=None,
        max_evaluations=3,
        max_cost=4.0,
        max_seconds=5.0,
        patience=6,
        stop_when_sure=0.9,
    )
    assert config.stopping == Stopping(None, 3, 4.0, 5.0, 6, 0.9)


@pytest.mark.parametrize(
    "function",
    [
        make_toolbox,
        PatternSampler,
        operators.mutate_swap,
        operators.mutate_block,
        operators.mutate_mixed,
    ],
)
def test_whoever_takes_a_rate_of_the_evolution_has_its_default(
    function: Callable[..., object],
) -> None:
    known = {**DEFAULTS, "more": DEFAULTS["more_swaps"]}
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if name in known
    }
    assert defaults
    assert defaults == {name: known[name] for name in defaults}


def test_the_defaults_need_neither_numpy_nor_deap() -> None:
    code = (
        "import sys; sys.modules['numpy'] = sys.modules['deap'] = None; "
        "import evop_deap.evolution.parameters, evop_deap.evolution.stopping"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("surrogate", ["gp", "linear", "none"])
@pytest.mark.parametrize("racing", ["on", "off"])
def test_settings_say_whether_there_are_races_and_a_surrogate(racing: str, surrogate: str) -> None:
    evaluator = CachedEvaluator(TabularEvaluator(LANDSCAPE))
    settings = EvolutionSettings(surrogate=surrogate, racing=racing)
    search = assemble(SPACE, evaluator, random.Random(0), settings)
    state = search.run(Stopping(evaluations=60))
    assert state.evaluations == 60
    assert any("trusted" in row for row in state.records) == (surrogate != "none")
    assert (len(state.eliminated) > 0) == (racing == "on")


@pytest.mark.parametrize("surrogate", ["none", "gp"])
def test_units_may_be_named_with_dots_and_are_no_halves_for_that(surrogate: str) -> None:
    names = [f"encoder.{i}" for i in range(3)] + [f"decoder.{i}" for i in range(5)]
    space = SearchSpace(tuple(Unit(name, 1, 1) for name in names), n_drop=3)
    evaluator = FunctionEvaluator(lambda patterns: [float(sum(p[3:])) for p in patterns])
    settings = EvolutionSettings(surrogate=surrogate)
    state = assemble(space, CachedEvaluator(evaluator), random.Random(0), settings).run(
        Stopping(generations=10)
    )

    assert space.blocks == ()
    assert all(pattern in space for pattern in state.losses)
    assert state.best.loss == 2.0
