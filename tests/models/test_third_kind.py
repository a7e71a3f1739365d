"""A third kind of part, the attention heads of a block, goes through everything unchanged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from toy_models import toy_logits, toy_model, toy_tokens

from evop_deap.base.errors import InputError
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.heuristics import METHODS, ModelParts, Task
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.latency import unit_milliseconds
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.anatomy.parts import Anatomy, Block, Part
from evop_deap.models.formats import Drops, layer_drop_config
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.models.surgery.dropped_parts import drops_of
from evop_deap.models.surgery.repacking import without_blocks
from evop_deap.space import SearchSpace, Unit
from evop_deap.space.budget import parse_budget
from evop_deap.space.unit_names import GRANULARITIES
from evop_deap.surrogate.kernel import Layout

MODEL = toy_model("llama")
HEADS = ("head1", "head2", "head3", "head4")
WIDTH = 8  # of a head
WINDOWS = toy_tokens(rows=2, length=10).numpy()


@contextmanager
def without_head(projection: nn.Module, head: int) -> Iterator[None]:
    """Zeros for what a head says, in the input of the attention's output projection."""

    def before(module: nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        said = args[0].clone()
        said[..., head * WIDTH : (head + 1) * WIDTH] = 0
        return (said,)

    handle = projection.register_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


def heads_of(block: Block) -> list[Part]:
    """A block's heads stand side by side; the rest of the block runs without them."""
    projection = block.module.self_attn.o_proj
    return [
        Part(
            unit=Unit(f"{block.index}.{kind}", parameters=0, work=projection.weight.numel() // 4),
            block=block,
            turn=0,
            modules=(projection,),
            norms=(),
            bypass=partial(without_head, projection, head),
            cache_share=0,
        )
        for head, kind in enumerate(HEADS)
    ]


@pytest.fixture
def anatomy(monkeypatch: pytest.MonkeyPatch) -> Anatomy:
    monkeypatch.setitem(GRANULARITIES, "head", HEADS)
    blocks = find_anatomy(MODEL)
    return replace(blocks, parts=tuple(part for block in blocks.blocks for part in heads_of(block)))


def test_dropped_heads_say_nothing_and_the_rest_of_their_block_runs(anatomy: Anatomy) -> None:
    assert anatomy.granularity == "head"
    dropped = [1, 4, 5, 6, 7]  # one of block 0, all of block 1
    model = toy_model("llama")
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight[:, WIDTH : 2 * WIDTH] = 0
        model.model.layers[1].self_attn.o_proj.weight.zero_()
    with bypassed(anatomy, dropped):
        torch.testing.assert_close(toy_logits(MODEL), toy_logits(model))
    assert drops_of(anatomy, dropped).positions([p.name for p in anatomy.parts]) == tuple(dropped)


@pytest.mark.parametrize("stacked", [False, True])
def test_a_population_that_shares_steps_has_the_losses_of_the_model_itself(
    anatomy: Anatomy, stacked: bool
) -> None:
    rng, genes = random.Random(0), len(anatomy.parts)
    patterns = [tuple(rng.choices((0, 1), k=genes)) for _ in range(8)]
    patterns += [(0,) * 4 + (1,) * (genes - 4), (1,) * genes]
    fast = PopulationEvaluator(MODEL, anatomy, WINDOWS, stacked=stacked)
    found = fast.evaluate(patterns)
    slow = ReferenceEvaluator(MODEL, anatomy, WINDOWS).evaluate(patterns)
    np.testing.assert_allclose(found.losses, slow.losses, rtol=1e-5)
    assert fast.evaluate([(1,) * genes]).cost <= 1.0
    alone = PopulationEvaluator(MODEL, anatomy, WINDOWS, stacked=stacked)
    assert alone.evaluate(patterns[:1]).cost == pytest.approx(slow.costs[0])


def test_units_are_timed_scored_and_picked(anatomy: Anatomy) -> None:
    units = model_units(anatomy)
    times, rest = unit_milliseconds(MODEL, anatomy, WINDOWS[0])
    assert len(times) == len(units)
    assert min(times) >= 0 <= rest
    space = SearchSpace(units, 3)
    evaluator = ReferenceEvaluator(MODEL, anatomy, WINDOWS)
    task = Task(space, evaluator, random.Random(0), parts=ModelParts(MODEL, anatomy, WINDOWS))
    for name in ("block-influence", "magnitude", "leave-one-out"):
        method = replace(METHODS[name], granularities=("head",))
        pick = method(task)
        assert pick.pattern in space
        assert len(pick.scores or ()) == len(units)
    # Heads of one block are no blocks apart.
    assert Layout.of(units).distance[0].tolist()[:5] == [0, 0, 0, 0, 1]
    assert parse_budget("units=3", units)[0].limit == 3


def test_what_cannot_be_exported_or_said_is_refused_by_name(anatomy: Anatomy) -> None:
    with pytest.raises(InputError, match=r"but got 0\.head2"):
        without_blocks(MODEL, anatomy, [1])
    drops = Drops.named(5, ["0.head2", "3"])
    with pytest.raises(InputError, match=r"but got 0\.head2"):
        layer_drop_config(drops)
    with pytest.raises(InputError, match=r"half of a block is dropped: 0\.head2"):
        drops.whole("a mergekit recipe")
