"""LaCo merges blocks: the formula, the sweep, and the checkpoint that comes out."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from toy_models import toy_logits, toy_model, toy_tokens
from transformers import AutoModelForCausalLM, PreTrainedModel

import evop_deap
from evop_deap.base.errors import InputError, UnsupportedModelError
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.heuristics import METHODS, ModelParts, Pick, Task
from evop_deap.heuristics.laco import merge
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.surgery.merging import combined, merged_model
from evop_deap.space import SearchSpace, Unit, dropped_units

WINDOWS = toy_tokens(rows=2, length=10)


def pick_of(model: PreTrainedModel, n_drop: int, protected: frozenset[int] = frozenset()) -> Pick:
    anatomy = find_anatomy(model)
    units = tuple(Unit(str(b.index), b.parameters, b.work) for b in anatomy.blocks)
    parts = ModelParts(model, anatomy, WINDOWS.numpy())
    space = SearchSpace(units, n_drop, protected)
    return METHODS["laco"](Task(space, TabularEvaluator({}), random.Random(0), parts=parts))


def matrix(model: PreTrainedModel, block: int) -> torch.Tensor:
    weight: torch.Tensor = find_anatomy(model).blocks[block].module.mlp.down_proj.weight
    return weight.detach().clone()


def test_a_block_takes_up_the_differences_of_those_behind_it() -> None:
    plan = tuple(((block, 1.0),) for block in range(4))
    assert merge(plan, 1, 2) == (((0, 1.0),), ((1, -1.0), (2, 1.0), (3, 1.0)))
    # Merged once more: 1 + (2 - 1), and then 0 + (that - 0).
    once = merge(plan, 1, 1)
    assert once[1] == ((1, 0.0), (2, 1.0))
    assert merge(once, 0, 1)[0] == ((0, 0.0), (1, 0.0), (2, 1.0))


def test_merged_matrices_are_the_sum_for_a_while_and_norms_stay(llama: PreTrainedModel) -> None:
    anatomy = find_anatomy(llama)
    before = [matrix(llama, block) for block in range(5)]
    norm = anatomy.blocks[1].module.input_layernorm.weight.clone()
    with combined(anatomy, {1: {1: -1.0, 2: 1.0, 3: 1.0}}):
        expected = before[1] + (before[2] - before[1]) + (before[3] - before[1])
        torch.testing.assert_close(matrix(llama, 1), expected)
        assert torch.equal(anatomy.blocks[1].module.input_layernorm.weight, norm)
    assert all(torch.equal(matrix(llama, block), before[block]) for block in range(5))


def test_a_merged_model_is_the_dense_one_with_merged_and_bypassed_blocks(
    llama: PreTrainedModel,
) -> None:
    anatomy, shares = find_anatomy(llama), {1: {1: 0.0, 2: 1.0}}
    merged = merged_model(llama, anatomy, [2], shares)
    with combined(anatomy, shares), evop_deap.bypassed(anatomy, [2]):
        expected = toy_logits(llama)
    assert torch.equal(toy_logits(merged), expected)
    assert not torch.equal(toy_logits(llama), expected)
    assert merged.lm_head.weight.data_ptr() == llama.lm_head.weight.data_ptr()


def test_blocks_that_are_not_alike_are_not_merged() -> None:
    model = toy_model("deepseek-v3")  # its first two blocks have no experts
    with (
        pytest.raises(UnsupportedModelError, match="not alike"),
        combined(find_anatomy(model), {1: {1: 0.0, 2: 1.0}}),
    ):
        pass


@pytest.mark.parametrize("n_drop", [1, 2, 3, 4])
def test_as_many_blocks_go_as_the_budget_wants(llama: PreTrainedModel, n_drop: int) -> None:
    pick = pick_of(llama, n_drop)
    gone = dropped_units(pick.pattern)
    assert len(gone) == n_drop
    taken = {block for shares in pick.merges.values() for block in shares}
    assert taken == {*pick.merges, *gone}
    assert all(sum(shares.values()) == pytest.approx(1) for shares in pick.merges.values())
    assert pick.cost > 1


def test_of_single_merges_the_last_above_the_threshold_is_taken(llama: PreTrainedModel) -> None:
    anatomy = find_anatomy(llama)
    states: list[torch.Tensor] = []
    hook = anatomy.head.register_forward_pre_hook(lambda module, args: states.append(args[0]))
    similar = []
    for place in (1, 0):  # one block goes, and C = 4: the sweep begins at the last but three
        with combined(anatomy, {place: {place + 1: 1.0}}):
            with evop_deap.bypassed(anatomy, [place + 1]):
                toy_logits(llama, WINDOWS)
            merged = states.pop()
        toy_logits(llama, WINDOWS)
        similar.append(float(torch.cosine_similarity(merged, states.pop(), dim=-1).mean()))
    hook.remove()
    thresholds = [t / 100 for t in range(95, 0, -5)]
    first = next(i for t in thresholds for i, s in enumerate(similar) if s > t)
    assert dropped_units(pick_of(llama, 1).pattern) == ((2, 1)[first],)


def test_protected_blocks_neither_go_nor_change(llama: PreTrainedModel) -> None:
    pick = pick_of(llama, 1, frozenset({0, 1, 2}))
    assert pick.merges.keys() | set(dropped_units(pick.pattern)) == {3, 4}
    with pytest.raises(InputError, match="no merges of blocks that may go fill the budget"):
        pick_of(llama, 2, frozenset({0, 2, 4}))


@pytest.mark.parametrize("fitness", ["ce", pytest.param("kl", marks=pytest.mark.slow)])
def test_the_checkpoint_is_the_merged_model_and_its_losses_are_those_reported(
    fitness: str, toy_checkpoint: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "texts.jsonl"
    texts = ({"text": f"Document {i} tells of a river. " * 4} for i in range(60))
    corpus.write_text("".join(json.dumps(text) + "\n" for text in texts))
    config = evop_deap.SearchConfig(
        model=str(toy_checkpoint), corpus=str(corpus), sparsity=0.4, window=16, tokens=64,
        heldout_tokens=32, method="laco", fitness=fitness,
    )  # fmt: skip
    result = evop_deap.run_search(config, tmp_path / "run")
    again = evop_deap.run_search(config, tmp_path / "run", resume=True)
    assert (result.cost, result.calibration) == (again.cost, again.calibration)
    assert result.fitness.pruned == result.finalists[0]["loss"]
    if fitness == "ce":
        assert result.fitness.pruned == pytest.approx(result.calibration.loss["pruned"])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model")
    assert model.config.num_hidden_layers == 3
    from evop_deap.runs.listeners.progress import Progress
    from evop_deap.runs.pruned_model import changed_model, window_sums_of
    from evop_deap.runs.stages.prepare import prepare

    windows = prepare(config, Progress()).text.heldout.tokens
    sums = window_sums_of(changed_model(model.eval()), windows)
    loss = sums.sum() / (windows.shape[0] * (windows.shape[1] - 1))
    assert loss == pytest.approx(result.heldout.loss["pruned"], abs=1e-6)
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "merged into blocks before them" in card
    assert not (tmp_path / "run" / "mergekit.yaml").exists()
    # The units dropped are not the model: no other format may be made of them.
    for format in ("layer-drop", "transformers"):
        with pytest.raises(InputError, match="merged into kept ones"):
            evop_deap.export_run(tmp_path / "run", format, tmp_path / "other")
    with pytest.raises(InputError, match="merged into kept ones"):
        evop_deap.apply_pattern(config, str(tmp_path / "run"), tmp_path / "other")
