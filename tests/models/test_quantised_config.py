"""What a configuration says of quantised layers by name follows the new numbers of the layers."""

from __future__ import annotations

from typing import Any

import pytest

from evop_deap.models.surgery.quantised_config import renumbered_quantisation
from evop_deap.models.surgery.renumbering import Renumbering

KEPT = (0, 2, 3, 11)
NAMES = Renumbering("model.layers", tuple((block, block) for block in KEPT), {})
LAYERS = [
    *(
        f"model.layers.{n}.{part}"
        for n in range(12)
        for part in ("mlp.up_proj", "self_attn.q_proj")
    ),
    "lm_head",
]


def of(about: dict[str, Any], *prefixes: str) -> dict[str, Any]:
    return renumbered_quantisation(about, NAMES, LAYERS, prefixes)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["lm_head", "mlp.up_proj", "up_proj"], ["lm_head", "mlp.up_proj", "up_proj"]),
        (["model.layers.2.mlp", "model.layers.1.mlp"], ["model.layers.1.mlp"]),
        (["model.layers.11", "model.layers.1", "layers.3.mlp"], ["model.layers.3", "layers.2.mlp"]),
        (["vision_tower.encoder.layers.2.fc1"], ["vision_tower.encoder.layers.2.fc1"]),
    ],
)
@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("bitsandbytes", "llm_int8_skip_modules"),
        ("awq", "modules_to_not_convert"),
        ("compressed-tensors", "ignore"),
    ],
)
def test_names_in_lists_are_renumbered(
    method: str, field: str, entries: list[str], expected: list[str]
) -> None:
    about = {"quant_method": method, field: entries, "bits": 4}
    assert of(about) == {"quant_method": method, field: expected, "bits": 4}


def test_names_may_have_the_path_of_the_files() -> None:
    entries = ["language_model.model.layers.3.mlp", "language_model.model.layers.4"]
    about = {"modules_to_not_convert": entries}
    found = of(about, "language_model.model.layers")
    assert found == {"modules_to_not_convert": ["language_model.model.layers.2.mlp"]}


def test_expressions_without_numbers_stay() -> None:
    entries = ["re:.*lm_head", r"re:.*self_attn\..*", "re:model[.]layers[.][0-9]+[.]mlp[.].*"]
    about = {"quant_method": "compressed-tensors", "ignore": entries}
    assert of(about) == about


def test_expressions_of_numbers_become_the_names_that_they_match() -> None:
    groups = {"group_0": {"targets": [r"re:.*layers\.(2|4|11)\.mlp.*"], "weights": {"num_bits": 4}}}
    about = {"quant_method": "compressed-tensors", "config_groups": groups}
    expected = ["model.layers.1.mlp.up_proj", "model.layers.3.mlp.up_proj"]
    assert of(about)["config_groups"]["group_0"]["targets"] == expected
    assert of({**about, "ignore": [r"re:.*layers\.4\..*"]})["ignore"] == []


def test_the_dynamic_table_of_gptq_keeps_its_order_and_signs() -> None:
    dynamic = {
        r"-:model\.layers\.1\..*": {},
        r"+:.*\.11\.mlp.*": {"bits": 8},
        r".*layers\.(1|2)\.self_attn": {"bits": 3},
        r"+:.*q_proj": {"group_size": 64},
    }
    found = of({"quant_method": "gptq", "dynamic": dynamic})["dynamic"]
    assert list(found.items()) == [
        (r"+:^model\.layers\.3\.mlp\.up_proj$", {"bits": 8}),
        (r"^model\.layers\.1\.self_attn\.q_proj$", {"bits": 3}),
        (r"+:.*q_proj", {"group_size": 64}),
    ]


def test_torchao_matches_whole_names() -> None:
    table = {
        "model.layers.2.mlp.up_proj": {"_type": "Int8WeightOnlyConfig"},
        "model.layers.1.mlp.up_proj": {"_type": "Int8WeightOnlyConfig"},
        r"re:model\.layers\.[13]\.self_attn\..*": {"_type": "Int4WeightOnlyConfig"},
        r"re:model\.layers\.1": None,
        "_default": None,
    }
    kind = {"default": {"_type": "FqnToConfig", "_data": {"fqn_to_config": table}}}
    found = of({"quant_method": "torchao", "quant_type": kind})["quant_type"]["default"]
    assert found["_data"]["fqn_to_config"] == {
        "model.layers.1.mlp.up_proj": {"_type": "Int8WeightOnlyConfig"},
        "model.layers.2.self_attn.q_proj": {"_type": "Int4WeightOnlyConfig"},
        r"re:model\.layers\.1": None,
        "_default": None,
    }
