from __future__ import annotations

import copy
import itertools

import numpy as np
import torch
from transformers import PreTrainedModel

from evop_deap.heuristics.block_influence import block_influence, least_influential
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.space import SearchSpace, Unit, dropped_units


def test_block_influence_is_one_minus_the_mean_cosine_of_a_blocks_input_and_output(
    llama: PreTrainedModel,
) -> None:
    tokens = np.random.default_rng(0).integers(0, llama.config.vocab_size, (3, 10))
    with torch.no_grad():
        # A copy, because transformers leaves its hooks on it.
        own = copy.deepcopy(llama)
        states = own(torch.tensor(tokens), output_hidden_states=True, use_cache=False)
    hidden = states.hidden_states
    expected = [
        1 - float(torch.cosine_similarity(before, after, dim=-1).mean())
        for before, after in itertools.pairwise(hidden[:-1])
    ]
    influences = block_influence(llama, find_anatomy(llama), tokens)
    # transformers normalises the last hidden state, so it shows all blocks but the last.
    np.testing.assert_allclose(influences[:-1], expected, atol=1e-6)


def test_the_least_influential_blocks_that_may_go_are_dropped() -> None:
    space = SearchSpace(tuple(Unit(str(i), 1, 1) for i in range(5)), 2, frozenset({3}))
    influences = np.array([0.5, 0.1, 0.4, 0.0, 0.2])
    assert dropped_units(least_influential(influences, space)) == (1, 4)


def test_watching_leaves_no_hooks(llama: PreTrainedModel) -> None:
    anatomy = find_anatomy(llama)
    before = [len(block.module._forward_hooks) for block in anatomy.blocks]
    block_influence(llama, anatomy, np.zeros((1, 4), dtype=np.int64))
    assert [len(block.module._forward_hooks) for block in anatomy.blocks] == before
