"""A model spread over two devices is compensated as on one."""

from __future__ import annotations

import numpy as np
import pytest
from toy_models import toy_model, toy_tokens
from two_devices import FIRST, SECOND, apart

from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.spread import spread
from evop_deap.recovery.compensation.compensate import compensate
from evop_deap.recovery.compensation.search_compensator import SearchCompensator


@pytest.mark.parametrize(("name", "form"), [("llama", "full"), ("gemma2", "map"), ("opt", "scale")])
def test_cuts_on_both_sides_of_the_border_are_compensated_alike(name: str, form: str) -> None:
    windows, model = toy_tokens(rows=10, length=24).numpy(), toy_model(name)
    expected = compensate(model, find_anatomy(model), [1, 3], windows, form=form)
    other = toy_model(name)
    with apart():
        spread(other, [FIRST, SECOND])
        found = compensate(other, find_anatomy(other), [1, 3], windows, form=form)
    assert (found.before, found.after) == (expected.before, expected.after)
    assert found.cuts == expected.cuts


def test_patterns_are_fitted_while_no_other_group_runs() -> None:
    windows = toy_tokens(rows=16, length=12).numpy()
    drawn = np.random.default_rng(0).integers(0, 2, (8, 10))
    patterns = [tuple(map(int, row)) for row in drawn]
    sums = []
    for devices in ([FIRST], [FIRST, SECOND]):
        model = spread(toy_model("llama"), devices)
        anatomy = find_anatomy(model, "half")
        light = SearchCompensator(model, anatomy, windows)
        evaluator = PopulationEvaluator(
            model, anatomy, windows, windows_at_once=1, compensator=light
        )
        sums.append(evaluator.evaluate(patterns).sums)
    np.testing.assert_array_equal(*sums)
