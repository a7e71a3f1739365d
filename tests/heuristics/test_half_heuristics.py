"""Heuristics over the halves of blocks: what stands between them, and whose turn it is."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from toy_models import toy_model, toy_tokens
from transformers import PreTrainedModel

from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.heuristics import METHODS, ModelParts, Pick, Task
from evop_deap.heuristics.first_patterns import seeds_of
from evop_deap.heuristics.registry import SCORERS
from evop_deap.heuristics.scores import scores_of
from evop_deap.heuristics.task import UnitScores
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.space import SearchSpace, Unit, dropped_units

units = pytest.importorskip("evop_deap.models.anatomy.model_units")

WINDOWS = toy_tokens(rows=2, length=10)
LOOKING = [n for n, m in METHODS.items() if m.needs_model and "half" in m.granularities]


def pick_of(name: str, model: PreTrainedModel, n_drop: int) -> Pick:
    anatomy = find_anatomy(model, "half")
    space = SearchSpace(units.model_units(anatomy), n_drop)
    windows = WINDOWS.numpy()
    evaluator = ReferenceEvaluator(model, anatomy, windows)
    parts = ModelParts(model, anatomy, windows)
    return METHODS[name](Task(space, evaluator, random.Random(0), parts=parts))


def test_llm_drop_turns_of_attention_and_mlp_are_those_of_the_forward_pass(
    llama: PreTrainedModel,
) -> None:
    seen: dict[tuple[int, str], torch.Tensor] = {}
    handles = []
    for i, layer in enumerate(llama.model.layers):
        norm = layer.post_attention_layernorm
        for module, where in ((layer, "before"), (norm, "between")):
            handles.append(
                module.register_forward_pre_hook(
                    lambda module, args, at=(i, where): seen.update({at: args[0]})
                )
            )
        handles.append(
            layer.register_forward_hook(
                lambda module, args, out, at=(i, "behind"): seen.update(
                    {at: out[0] if isinstance(out, tuple) else out}
                )
            )
        )
    with torch.no_grad():
        llama(WINDOWS, use_cache=False)
    for handle in handles:
        handle.remove()
    turns = [
        1 - float(torch.cosine_similarity(seen[i, first], seen[i, then], dim=-1).mean())
        for i in range(5)
        for first, then in (("before", "between"), ("between", "behind"))
    ]
    pick = pick_of("llm-drop", llama, 2)
    np.testing.assert_allclose(pick.scores, turns, rtol=1e-4, atol=1e-6)
    attention = sorted(range(0, 10, 2), key=turns.__getitem__)
    assert dropped_units(pick.pattern) == tuple(sorted(attention[:2]))
    # Once all of the attention is gone, MLP halves follow.
    assert {0, 2, 4, 6, 8} < set(dropped_units(pick_of("llm-drop", llama, 6).pattern))


@pytest.mark.parametrize("architecture", ["gemma2", "gpt-neox-parallel", "mixtral"])
@pytest.mark.parametrize("name", LOOKING)
def test_halves_of_any_kind_of_block_are_measured(name: str, architecture: str) -> None:
    model = toy_model(architecture)
    pick = pick_of(name, model, 3)
    assert len(dropped_units(pick.pattern)) == 3
    assert pick.scores is not None
    assert np.isfinite(pick.scores).all()
    assert len(pick.scores) == 2 * model.config.num_hidden_layers


def test_a_watched_half_is_paid_for_twice_where_it_runs_twice(llama: PreTrainedModel) -> None:
    anatomy = find_anatomy(llama, "half")
    work = [unit.work for unit in units.model_units(anatomy)]
    again = sum(work[::2]) / (sum(work) + anatomy.head_work)
    assert pick_of("block-influence", llama, 2).cost == pytest.approx(1 + again)


def test_blockpruner_goes_on_from_what_is_gone(llama: PreTrainedModel) -> None:
    pick = pick_of("blockpruner", llama, 3)
    anatomy = find_anatomy(llama, "half")
    space = SearchSpace(units.model_units(anatomy), 3)
    evaluator = ReferenceEvaluator(llama, anatomy, WINDOWS.numpy())
    gone: list[int] = []
    for _ in range(3):
        left = [unit for unit in range(10) if unit not in gone]
        losses = evaluator.evaluate([space.pattern([*gone, unit]) for unit in left]).losses
        gone.append(left[int(losses.argmin())])
    assert pick.order == tuple(gone)


@pytest.mark.parametrize("name", SCORERS)
def test_a_search_of_halves_begins_with_a_rules_blocks_with_its_halves_and_with_some_of_both(
    name: str, llama: PreTrainedModel
) -> None:
    anatomy, windows = find_anatomy(llama, "half"), WINDOWS.numpy()
    space = SearchSpace(units.model_units(anatomy), 5, protected=frozenset({3}))
    parts = ModelParts(llama, anatomy, windows)
    evaluator = ReferenceEvaluator(llama, anatomy, windows)
    seeds = seeds_of([METHODS[name]], Task(space, evaluator, random.Random(0), parts=parts))
    blocks = find_anatomy(llama, "block")
    block_space = SearchSpace(units.model_units(blocks), 2, protected=frozenset({1}))
    of_blocks = METHODS[name](
        Task(block_space, evaluator, random.Random(0), parts=ModelParts(llama, blocks, windows))
    )
    by_halves = METHODS[name](Task(space, evaluator, random.Random(0), parts=parts))
    assert seeds.picks[f"{name} of halves"] == by_halves.pattern
    gone = set(dropped_units(seeds.picks[name]))
    assert {2 * block for block in dropped_units(of_blocks.pattern)} <= gone
    assert {2 * block + 1 for block in dropped_units(of_blocks.pattern)} <= gone
    assert len(gone) == 5
    first = {2 * of_blocks.order[0], 2 * of_blocks.order[0] + 1}
    rest = [half for half in by_halves.order if half not in first][:3]
    assert {*dropped_units(seeds.picks[f"{name} of both"])} == {*first, *rest}
    assert of_blocks.cost == 1.0
    assert seeds.cost == by_halves.cost


def test_the_halves_of_an_only_block_are_no_blocks_to_begin_with() -> None:
    halves = (Unit("0.attn", 1, 1), Unit("0.mlp", 1, 1))
    scores = {"block-influence": UnitScores({"0": 0.1, "0.attn": 0.2, "0.mlp": 0.1}, cost=1.0)}
    task = Task(SearchSpace(halves, 1), TabularEvaluator({}), random.Random(0), scores=scores)
    seeds = seeds_of([METHODS["block-influence"]], task)
    assert seeds.picks == {"block-influence": (1, 0)}


@pytest.mark.parametrize("granularity", ["block", "half"])
def test_heuristics_score_a_model_in_one_pass_as_each_scores_it_alone(
    granularity: str, llama: PreTrainedModel
) -> None:
    anatomy, windows = find_anatomy(llama, granularity), WINDOWS.numpy()
    space = SearchSpace(units.model_units(anatomy), 3)
    task = Task(
        space,
        ReferenceEvaluator(llama, anatomy, windows),
        random.Random(0),
        parts=ModelParts(llama, anatomy, windows),
    )
    alone = {name: METHODS[name](task) for name in SCORERS}
    ran: list[object] = []
    hook = llama.model.embed_tokens.register_forward_hook(lambda *args: ran.append(args))
    scores, seeds = scores_of(task), seeds_of([METHODS[name] for name in SCORERS], task)
    hook.remove()
    assert len(ran) == 2 * len(windows)
    for name, pick in alone.items():
        assert tuple(scores[name].scores[unit.name] for unit in space.units) == pick.scores
        assert scores[name].cost == pick.cost == seeds.cost
        assert pick.pattern in seeds.picks.values()
    assert seeds.work.head_tokens == windows.size
