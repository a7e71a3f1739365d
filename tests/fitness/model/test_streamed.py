"""Streamed weights give the losses of weights in memory, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_models import toy_model, toy_tokens
from transformers import AutoModelForCausalLM

from evop_deap.base.errors import InputError
from evop_deap.fitness.model.evaluators import Evaluators
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.state_store import StateStore
from evop_deap.fitness.model.streamed import StreamedEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.streaming.streamed_weights import StreamedWeights

TOYS = ("llama", "llama-tied", "gemma2", "gpt2", "phi3", "cohere2", "falcon", "opt", "gpt-neox")
WINDOWS = toy_tokens(rows=5, length=12).numpy()
PLENTY, LITTLE = 2**20, 2**13  # bytes for hidden states, of which LITTLE sends most to a file

Pair = tuple[PopulationEvaluator, StreamedEvaluator]


@pytest.fixture(scope="module")
def pair_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    """Makes the evaluators of a toy that computes in float32, in memory and from its files."""
    folder = tmp_path_factory.mktemp("streamed")

    @cache
    def models(name: str, stored: torch.dtype) -> tuple[Any, Any, StreamedWeights]:
        path, shard = folder / f"{name}-{stored}", "20KB" if "llama" in name else "1GB"
        toy_model(name).to(stored).save_pretrained(path, max_shard_size=shard)
        dense = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        model = AutoModelForCausalLM.from_pretrained(path, dtype=stored).eval()
        return dense, model, StreamedWeights(model, torch.float32)

    @cache
    def made(
        name: str, stored: torch.dtype, granularity: str, budget: int, fitness: str = "ce"
    ) -> Pair:
        dense, model, weights = models(name, stored)
        how: Any = {"memory_budget": budget, "windows_at_once": 2, "fitness": fitness}
        return (
            PopulationEvaluator(dense, find_anatomy(dense, granularity), WINDOWS, **how),
            StreamedEvaluator(model, find_anatomy(model, granularity), WINDOWS, weights, **how),
        )

    return made


@settings(max_examples=16)
@given(data=st.data())
def test_sums_are_those_of_weights_in_memory_bit_for_bit(
    pair_of: Callable[..., Pair], data: st.DataObject
) -> None:
    stored = data.draw(st.sampled_from([torch.float32, torch.bfloat16]))
    granularity = data.draw(st.sampled_from(["block", "half"]))
    budget = data.draw(st.sampled_from([PLENTY, LITTLE]))
    name = data.draw(st.sampled_from(TOYS))
    fitness = data.draw(st.sampled_from(["ce", "kl"]))
    resident, streamed = pair_of(name, stored, granularity, budget, fitness)
    genes = st.tuples(*[st.integers(0, 1)] * (10 if granularity == "half" else 5)).filter(any)
    patterns = data.draw(st.lists(genes, max_size=6))
    windows = data.draw(st.none() | st.lists(st.integers(0, 4), min_size=1, unique=True))
    expected, found = (one.evaluate(patterns, windows) for one in (resident, streamed))
    assert np.array_equal(found.sums, expected.sums)
    assert np.array_equal(found.tokens, expected.tokens)
    assert streamed.preparation_cost == resident.preparation_cost
    # Losses may be shared between both.
    assert (streamed.arithmetic, streamed.batches) == (resident.arithmetic, resident.batches)
    assert found.work.bytes_held <= budget


def test_a_block_is_read_once_for_all_patterns_and_windows(pair_of: Callable[..., Pair]) -> None:
    _, streamed = pair_of("llama", torch.bfloat16, "block", PLENTY)
    reading = streamed.weights.reading
    patterns = [(1, 1, 0, 1, 1), (1, 0, 0, 1, 1), (0, 1, 0, 1, 0)]
    streamed.evaluate(patterns)
    before = reading.bytes
    streamed.evaluate(patterns)
    model: Any = streamed.model
    blocks = [sum(p.nbytes for p in block.parameters()) for block in model.model.layers]
    kept = sum(blocks) - blocks[2]  # which no pattern keeps
    assert reading.bytes - before == kept + model.lm_head.weight.nbytes


def test_the_model_is_left_in_its_files(pair_of: Callable[..., Pair]) -> None:
    _, streamed = pair_of("llama-tied", torch.bfloat16, "block", PLENTY)
    model: Any = streamed.model
    places = [weight.data_ptr() for weight in model.parameters()]
    streamed.evaluate([(1, 0, 1, 1, 1)])
    assert [weight.data_ptr() for weight in model.parameters()] == places
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


def test_a_model_from_files_has_the_fingerprint_of_the_one_in_memory(
    pair_of: Callable[..., Pair],
) -> None:
    for stored in (torch.float32, torch.bfloat16):
        resident, streamed = pair_of("gemma2", stored, "block", PLENTY)
        assert fingerprint_model(streamed.model) == fingerprint_model(resident.model)


def test_what_needs_all_weights_is_refused(pair_of: Callable[..., Pair]) -> None:
    _, streamed = pair_of("llama", torch.bfloat16, "block", PLENTY)
    with pytest.raises(InputError, match="needs `fitness` ce or kl"):
        Evaluators(streamed.model, find_anatomy(streamed.model), "answers")


def test_room_of_forgotten_states_is_used_again() -> None:
    with StateStore(budget=64) as store:
        kept = [store.put(torch.full((1, 4, 4), float(number))) for number in range(4)]
        assert [float(state.tensor().mean()) for state in kept] == [0.0, 1.0, 2.0, 3.0]
        del kept[0], kept[0]
        again = [store.put(torch.full((1, 4, 4), 9.0)) for _ in range(2)]
        assert store.most_in_memory == 64
        assert store.size_of_file == 3 * 64
        assert [float(state.tensor().mean()) for state in (*kept, *again)] == [2.0, 3.0, 9.0, 9.0]
