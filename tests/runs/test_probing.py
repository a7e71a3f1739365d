"""Probe patterns: different, within the budget, some good and some not."""

from __future__ import annotations

import random

import numpy as np
import pytest

from evop_deap.base.errors import InputError
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.load_model import load_model
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.window_responses import PROBES, probe_patterns, responder
from evop_deap.space import SearchSpace, Unit


def space(units: int, n_drop: int, protected=frozenset()) -> SearchSpace:
    return SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(units)), n_drop, protected)


@pytest.mark.parametrize(("units", "n_drop"), [(12, 3), (5, 2), (4, 1), (2, 1), (30, 29)])
def test_probes_are_different_and_of_the_space(units: int, n_drop: int) -> None:
    some = space(units, n_drop)
    good = some.pattern(range(n_drop))
    found = probe_patterns(some, good, random.Random(0))
    assert found[0] == good
    assert len(set(found)) == len(found) == min(PROBES, some.size)
    assert all(pattern in some for pattern in found)
    assert probe_patterns(some, good, random.Random(0)) == found


def test_protected_units_stay_in_every_probe() -> None:
    some = space(8, 2, frozenset({0, 7}))
    for pattern in probe_patterns(some, some.pattern([1, 2]), random.Random(0)):
        assert pattern[0] == pattern[7] == 1


def test_responses_are_losses_of_each_probe_on_each_window(toy_checkpoint) -> None:
    loaded = load_model(str(toy_checkpoint), dtype="float32")
    anatomy = find_anatomy(loaded.model)
    respond = responder(
        loaded, anatomy, space(len(anatomy.blocks), 2), seed=0, fitness="ce", progress=Progress()
    )
    tokens = np.arange(3, 163).reshape(10, 16)
    losses = respond(tokens)
    assert losses.shape == (PROBES, 10)
    assert np.isfinite(losses).all()
    assert np.array_equal(respond(tokens), losses)


def test_a_model_without_any_finite_loss_is_told_of(toy_checkpoint, monkeypatch) -> None:
    loaded = load_model(str(toy_checkpoint), dtype="float32")
    anatomy = find_anatomy(loaded.model)
    loaded.model.get_output_embeddings().weight.data.fill_(float("nan"))
    respond = responder(
        loaded, anatomy, space(len(anatomy.blocks), 2), seed=0, fitness="ce", progress=Progress()
    )
    with pytest.raises(InputError, match="no probe pattern has finite losses"):
        respond(np.arange(3, 35).reshape(2, 16))
