"""A model spread over several devices is evaluated as on one, a group of windows on each."""

from __future__ import annotations

from threading import Barrier, Event
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import cpu_offload, dispatch_model
from toy_models import toy_model, toy_tokens
from two_devices import FIRST, SECOND, apart

from evop_deap.base.errors import InputError
from evop_deap.fitness.model.device_pipeline import DevicePipeline
from evop_deap.fitness.model.evaluators import Evaluators
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.models.anatomy.devices import devices_of
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.spread import spread
from evop_deap.space import Pattern

TOYS = ("llama", "llama-tied", "gpt2", "gemma2", "qwen3-moe", "gpt-neox-parallel")
WINDOWS = toy_tokens(rows=6, length=12).numpy()
ACCELERATORS = torch.accelerator.device_count() if torch.accelerator.is_available() else 0


def some_patterns(units: int) -> list[Pattern]:
    drawn = np.random.default_rng(0).integers(0, 2, (6, units))
    return [(1,) * units, *(tuple(map(int, row)) for row in drawn if row.any())]


@pytest.mark.parametrize("granularity", ["block", "half"])
@pytest.mark.parametrize("name", TOYS)
def test_states_move_to_their_blocks_and_sums_keep_their_bits(name: str, granularity: str) -> None:
    one, two = toy_model(name), toy_model(name)
    anatomy = find_anatomy(one, granularity)
    patterns = some_patterns(len(anatomy.parts))
    with apart():
        spread_anatomy = find_anatomy(spread(two, [FIRST, SECOND]), granularity)
    assert devices_of(spread_anatomy) == (FIRST, SECOND)
    for fitness, stacked in (("ce", False), ("kl", True)):
        how: Any = {"fitness": fitness, "stacked": stacked}
        expected = PopulationEvaluator(one, anatomy, WINDOWS, **how).evaluate(patterns)
        found = PopulationEvaluator(two, spread_anatomy, WINDOWS, **how).evaluate(patterns)
        np.testing.assert_array_equal(found.sums, expected.sums)
        np.testing.assert_array_equal(found.costs, expected.costs)


def test_no_operation_mixes_devices() -> None:
    model = toy_model("llama")
    with apart() as place:
        anatomy = find_anatomy(spread(model, [FIRST, SECOND]), "half")
        assert [place(block.module.mlp.up_proj.weight) for block in anatomy.blocks[2:4]] == [
            FIRST,
            SECOND,
        ]
        patterns = some_patterns(len(anatomy.parts))
        for fitness, stacked in (("ce", False), ("ce", True), ("kl", False), ("kl", True)):
            evaluator = PopulationEvaluator(
                model, anatomy, WINDOWS, fitness=fitness, stacked=stacked
            )
            assert np.isfinite(evaluator.evaluate(patterns).sums).all()


@pytest.mark.parametrize("stacked", [False, True])
def test_groups_in_the_pipeline_give_the_same_results(stacked: bool) -> None:
    one, two = toy_model("llama"), spread(toy_model("llama"), [FIRST, SECOND])
    evaluated: list[int] = []
    expected, found = (
        PopulationEvaluator(
            model,
            find_anatomy(model, "half"),
            WINDOWS,
            windows_at_once=2,
            stacked=stacked,
            on_evaluated=lambda: evaluated.append(1),
        )
        for model in (one, two)
    )
    patterns = some_patterns(10)
    for some in (patterns[:4], patterns):  # the second call starts from states of the first
        evaluated.clear()
        left, right = expected.evaluate(some), found.evaluate(some)
        np.testing.assert_array_equal(right.sums, left.sums)
        np.testing.assert_array_equal(right.costs, left.costs)
        assert right.work.block_tokens == left.work.block_tokens
        assert len(evaluated) == 2 * len(some)
    assert found.kept.names == expected.kept.names
    assert found.batches == expected.batches


def test_a_group_is_on_each_device_at_once() -> None:
    pipeline, met, is_behind = DevicePipeline([FIRST, SECOND], SECOND), Barrier(2), Event()

    def passes(group: int) -> int:
        if group == 1:
            is_behind.wait(60)
        with pipeline.on(FIRST):
            if group == 1:
                met.wait(60)
        with pipeline.on(SECOND):
            if group == 0:
                is_behind.set()
                met.wait(60)
        return group

    assert list(pipeline.map(passes, range(2))) == [0, 1]


def test_an_error_in_one_group_ends_the_others() -> None:
    pipeline = DevicePipeline([FIRST, SECOND], SECOND)

    def fails(group: int) -> int:
        with pipeline.on(FIRST):
            if group == 0:
                raise torch.OutOfMemoryError("no memory")
        return group

    with pytest.raises(torch.OutOfMemoryError):
        list(pipeline.map(fails, range(9)))
    assert list(pipeline.map(lambda group: group, range(9))) == list(range(9))


def test_a_device_map_of_accelerate_gives_the_same_sums() -> None:
    one, two = toy_model("llama"), toy_model("llama")
    names = ["model.embed_tokens", "model.rotary_emb", "model.norm", "lm_head"]
    places = dict.fromkeys([*names, *(f"model.layers.{n}" for n in range(5))], "cpu")
    dispatch_model(two, device_map=places, force_hooks=True)
    patterns = some_patterns(10)
    expected, found = (
        PopulationEvaluator(model, find_anatomy(model, "half"), WINDOWS).evaluate(patterns)
        for model in (one, two)
    )
    np.testing.assert_array_equal(found.sums, expected.sums)


@pytest.mark.parametrize("evaluator", [PopulationEvaluator, Evaluators])
def test_weights_that_accelerate_keeps_elsewhere_are_refused(evaluator: Any) -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model)
    cpu_offload(model, execution_device=torch.device("cpu"))
    with pytest.raises(InputError, match="device_map.*search --weights streamed"):
        evaluator(model, anatomy, WINDOWS)


@pytest.mark.skipif(ACCELERATORS < 2, reason="needs two accelerators")
@pytest.mark.parametrize("stacked", [False, True])
def test_two_accelerators_give_the_sums_of_one(stacked: bool) -> None:
    kind = torch.accelerator.current_accelerator()
    assert kind is not None
    places = [torch.device(kind.type, index) for index in range(2)]
    one, two = toy_model("llama").to(places[0]), spread(toy_model("llama"), places)
    expected, found = (
        PopulationEvaluator(
            model, find_anatomy(model, "half"), WINDOWS, windows_at_once=2, stacked=stacked
        ).evaluate(some_patterns(10))
        for model in (one, two)
    )
    np.testing.assert_array_equal(found.sums, expected.sums)
