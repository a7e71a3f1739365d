"""EvoPress and mergekit files say exactly which blocks stay."""

from __future__ import annotations

from itertools import pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.errors import InputError
from evop_deap.models.formats import (
    layer_drop_config,
    mergekit_passthrough,
    parse_layer_drop_config,
)

subsets = st.integers(2, 40).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=n - 1))
)


def test_a_drop_configuration_has_a_line_a_block() -> None:
    assert layer_drop_config(4, [1, 3]) == "none\nattn+mlp\nnone\nattn+mlp\n"


@given(subsets)
def test_a_drop_configuration_reads_back(case: tuple[int, set[int]]) -> None:
    n_blocks, dropped = case
    drops = parse_layer_drop_config(layer_drop_config(n_blocks, dropped))
    assert drops.n_blocks == n_blocks
    assert drops.blocks == drops.attention == drops.mlp == dropped


def test_halves_of_blocks_are_read() -> None:
    drops = parse_layer_drop_config("attn\r\nmlp\r\nnone\r\nattn+mlp\r\n\r\n")
    assert drops.n_blocks == 4
    assert drops.attention == {0, 3}
    assert drops.mlp == {1, 3}
    assert drops.blocks == {3}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty"), ("\n \n", "empty"), ("none\nboth\n", "line 2"), ("none\n\nmlp\n", "line 2")],
)
def test_another_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_layer_drop_config(text)


@pytest.mark.parametrize("index", [-1, 4])
def test_a_block_that_is_none_is_refused(index: int) -> None:
    with pytest.raises(InputError, match="from 0 to 3"):
        layer_drop_config(4, [index])


@given(subsets)
def test_mergekit_slices_cover_the_kept_blocks_once(case: tuple[int, set[int]]) -> None:
    n_blocks, dropped = case
    kept = [index for index in range(n_blocks) if index not in dropped]
    recipe = yaml.safe_load(mergekit_passthrough("some/model", kept, "bfloat16"))
    ranges = [piece["sources"][0]["layer_range"] for piece in recipe["slices"]]
    assert [index for start, stop in ranges for index in range(start, stop)] == kept
    # Neighbouring runs are one slice.
    assert all(left[1] < right[0] for left, right in pairwise(ranges))
    assert (recipe["merge_method"], recipe["dtype"]) == ("passthrough", "bfloat16")


@pytest.mark.parametrize("model_id", ["a: b", 'quo"te', "C:\\models\\x", "模型", "#1", "true"])
def test_any_name_of_a_model_survives_yaml(model_id: str) -> None:
    recipe = yaml.safe_load(mergekit_passthrough(model_id, [0], "float32"))
    assert recipe["slices"][0]["sources"][0]["model"] == model_id


def test_a_recipe_without_blocks_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        mergekit_passthrough("some/model", [], "float32")
