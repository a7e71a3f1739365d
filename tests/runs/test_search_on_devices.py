"""A search on several devices finds what a search on one finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from two_devices import apart

from evop_deap.runs.run_search import run_search
from evop_deap.settings.search_config import SearchConfig


def found(folder: Path) -> dict[str, Any]:
    result = json.loads((folder / "result.json").read_text())
    names = ("dropped", "evaluations", "fitness", "cost", "finalists", "compensation")
    return {name: result[name] for name in names}


def test_it_finds_and_exports_the_same(run_settings: dict[str, Any], tmp_path: Path) -> None:
    config = SearchConfig(sparsity=0.4, granularity="half", dtype="float32", **run_settings)
    run_search(config.replace(device="cpu"), tmp_path / "one")
    with apart():
        run_search(config.replace(device="cpu:0,cpu:1"), tmp_path / "two")
    assert found(tmp_path / "two") == found(tmp_path / "one")
    expected, written = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two")
    )
    assert written.keys() == expected.keys()
    assert all(tensor.equal(expected[name]) for name, tensor in written.items())
