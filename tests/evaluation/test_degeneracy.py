"""Greedy continuations: what is written, and when it goes round in circles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_models import toy_model, toy_tokens
from transformers import PreTrainedModel

from evop_deap.evaluation.degeneracy import (
    Degeneracy,
    choose_prompts,
    measure_degeneracy,
    repeated_share,
)

TEXT = tuple(range(20))
LOOP = (1, 2, 3) * 7


@given(st.lists(st.integers(0, 5), max_size=40))
def test_the_repeated_share_is_that_of_four_grams_seen_before(tokens: list[int]) -> None:
    grams = [tuple(tokens[i : i + 4]) for i in range(len(tokens) - 3)]
    before = sum(gram in grams[:i] for i, gram in enumerate(grams))
    assert repeated_share(tokens) == pytest.approx(before / len(grams) if grams else 0.0)


def test_distinct_n_grams_are_counted_over_all_continuations() -> None:
    found = Degeneracy(((1, 2, 3), (1, 2, 4)))
    assert found.distinct(1) == pytest.approx(4 / 6)
    assert found.distinct(2) == pytest.approx(3 / 4)
    assert found.distinct(4) == 0.0
    assert found.tokens == 3.0


@pytest.mark.parametrize(
    ("mine", "dense", "flagged"),
    [
        ([TEXT] * 4, None, False),
        ([LOOP] * 4, None, True),
        ([LOOP, LOOP, TEXT, TEXT], None, False),
        ([LOOP] * 4, [TEXT] * 4, True),
        ([LOOP] * 4, [LOOP] * 4, False),
        ([TEXT] * 4, [LOOP] * 4, False),
        # One prompt in eight may be chance.
        ([LOOP] + [TEXT] * 7, [TEXT] * 8, False),
    ],
)
def test_a_model_is_degenerate_where_it_loops_and_the_dense_one_does_not(
    mine: list[tuple[int, ...]], dense: list[tuple[int, ...]] | None, flagged: bool
) -> None:
    other = Degeneracy(tuple(dense)) if dense else None
    assert Degeneracy(tuple(mine)).degenerate(other) is flagged


def test_continuations_are_the_most_probable_tokens_up_to_an_end(llama: PreTrainedModel) -> None:
    prompts = toy_tokens(rows=5, length=6)
    expected = []
    for prompt in prompts:
        ids, written = prompt[None], []
        while len(written) < 12:
            with torch.no_grad():
                token = int(llama(ids, use_cache=False).logits[0, -1].argmax())
            if token == llama.config.eos_token_id:
                break
            written.append(token)
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
        expected.append(tuple(written))
    found = measure_degeneracy(llama, prompts.numpy(), new_tokens=12, batch_size=2)
    assert found.continuations == tuple(expected)


def test_what_ends_a_text_does_not_count() -> None:
    model = toy_model("llama")
    prompts = toy_tokens(rows=2, length=6)
    free = measure_degeneracy(model, prompts.numpy(), new_tokens=8).continuations
    model.generation_config.eos_token_id = [free[0][3], 1]
    first = measure_degeneracy(model, prompts.numpy(), new_tokens=8).continuations[0]
    assert first == free[0][: free[0].index(free[0][3])]


def test_a_checkpoints_own_sampling_settings_change_nothing() -> None:
    model = toy_model("llama")
    prompts = toy_tokens(rows=2, length=6).numpy()
    free = measure_degeneracy(model, prompts, new_tokens=8)
    settings = model.generation_config
    settings.repetition_penalty, settings.do_sample, settings.num_beams = 5.0, True, 3
    settings.no_repeat_ngram_size = 1
    assert measure_degeneracy(model, prompts, new_tokens=8) == free


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("stop_strings", ["a"]),
        ("forced_eos_token_id", 5),
        ("min_length", 20),
        ("suppress_tokens", [*range(48)]),
        ("bad_words_ids", [[token] for token in range(48)]),
        ("sequence_bias", [[[7], 1e6]]),
        ("max_time", 1e-9),
        ("return_dict_in_generate", True),
        ("prompt_lookup_num_tokens", 2),
        ("num_return_sequences", 2),
        ("guidance_scale", 3.0),
    ],
)
def test_no_setting_of_a_checkpoint_changes_or_fails_its_continuations(
    setting: str, value: object
) -> None:
    model = toy_model("llama")
    prompts = toy_tokens(rows=2, length=6).numpy()
    free = measure_degeneracy(model, prompts, new_tokens=8)
    before = model.generation_config
    setattr(before, setting, value)
    assert measure_degeneracy(model, prompts, new_tokens=8) == free
    assert model.generation_config is before


@pytest.mark.parametrize("count", [1, 3, 9, 20])
def test_prompts_are_spread_over_the_text(count: int) -> None:
    windows = np.arange(90).reshape(9, 10)
    prompts = choose_prompts(windows, count=count, length=4)
    assert prompts.shape == (min(count, 9), 4)
    assert len({row[0] for row in prompts.tolist()}) == len(prompts)
    assert prompts[0, 0] == 0
    assert count == 1 or prompts[-1, 0] == 80
