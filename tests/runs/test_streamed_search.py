"""A search of streamed weights finds what a search in memory finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from evop_deap.base.errors import InputError
from evop_deap.runs.run_search import run_search
from evop_deap.runs.streaming_choice import where_weights
from evop_deap.settings.search_config import SearchConfig

ALONE = {"compensate": "off", "dtype": "float32", "device": "cpu"}
PLACES = {"seconds", "bytes_held", "executed", "block_tokens", "head_tokens"}
"""What a search reports of its work, and not of what it found."""


def history(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in PLACES} for row in rows]


def test_it_finds_the_same(run_settings: dict[str, Any], tmp_path: Path) -> None:
    config = SearchConfig(sparsity=0.4, granularity="half", **{**run_settings, **ALONE})
    for weights in ("resident", "streamed"):
        run_search(config.replace(weights=weights), tmp_path / weights)
    resident, streamed = (
        json.loads((tmp_path / name / "result.json").read_text())
        for name in ("resident", "streamed")
    )
    assert history(tmp_path / "streamed") == history(tmp_path / "resident")
    for name in ("dropped", "evaluations", "fitness"):
        assert streamed[name] == resident[name], name
    assert streamed["cost"] <= resident["cost"]  # near-equals are validated together
    expected, written = (
        load_file(tmp_path / name / "model" / "model.safetensors")
        for name in ("resident", "streamed")
    )
    assert written.keys() == expected.keys()
    assert all(tensor.equal(expected[name]) for name, tensor in written.items())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"compensate": "auto"}, "add --compensate off"),
        ({"fitness": "kl"}, "choose ce"),
        ({"method": "taylor"}, "`method` taylor"),
        ({"method": "laco"}, "`method` laco"),
        ({"init": ("heuristics",)}, "`init` taylor"),
        ({"pareto": "latency"}, "choose parameters"),
    ],
)
def test_settings_that_need_all_weights_are_refused(options: dict[str, Any], says: str) -> None:
    config = SearchConfig(**{"model": "demo", "sparsity": 0.4, **ALONE, **options})
    assert where_weights(config) == "resident"  # by itself
    with pytest.raises(InputError, match="`weights` streamed") as refusal:
        where_weights(config.replace(weights="streamed"))
    assert says in str(refusal.value)
