"""A search of streamed weights finds what a search in memory finds."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from own_text import own_corpus, quick_search
from safetensors.torch import load_file

from evop_deap.base.errors import InputError
from evop_deap.models.loading import weights_place
from evop_deap.runs.apply_pattern import apply_pattern
from evop_deap.runs.identity import identity
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.run_search import run_search
from evop_deap.runs.stages.prepare import prepare
from evop_deap.runs.streaming_choice import where_weights
from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.settings.search_config import SearchConfig

ALONE = {"compensate": "off", "dtype": "float32", "device": "cpu"}
PLACES = {"seconds", "bytes_held", "executed", "block_tokens", "head_tokens"}
"""What a search reports of its work, and not of what it found."""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A quick search of a toy model that is compensated."""
    model, corpus = own_corpus(tmp_path_factory.mktemp("own"), 160)
    return {**quick_search(model, corpus), "device": "cpu", "dtype": "float32"}


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


def test_what_it_finds_is_compensated_as_in_memory(words: dict[str, Any], tmp_path: Path) -> None:
    config = SearchConfig(**words, method="last")
    for weights in ("resident", "streamed"):
        run_search(config.replace(weights=weights), tmp_path / weights)
    resident, streamed = (
        json.loads((tmp_path / name / "result.json").read_text())
        for name in ("resident", "streamed")
    )
    assert streamed["compensation"]["taken"]
    for name in ("dropped", "calibration", "heldout", "checkpoint"):
        assert streamed[name] == resident[name], name
    expected, written = (
        load_file(tmp_path / name / "model" / "model.safetensors")
        for name in ("resident", "streamed")
    )
    assert written.keys() == expected.keys()
    assert all(tensor.equal(expected[name]) for name, tensor in written.items())


class Lines(Progress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def stage(self, text: str) -> None:
        self.said.append(text)


def test_a_search_compensates_only_what_it_finds_and_says_so(words: dict[str, Any]) -> None:
    config, lines = SearchConfig(**words), Lines()
    resident, streamed = (
        prepare(config.replace(weights=weights), lines) for weights in ("resident", "streamed")
    )
    assert (resident.compensator is None, streamed.compensator is None) == (False, True)
    (said,) = (line for line in lines.said if "streamed" in line)
    assert "the search evaluates patterns as they are" in said
    # Its losses are others than those of a search in memory, so neither resumes the other.
    assert identity(resident)["compensate"] == "auto"
    assert "after the search alone" in identity(streamed)["compensate"]


def test_apply_compensates_weights_that_do_not_fit_from_their_files(
    words: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {field.name for field in fields(CalibrationConfig)}
    config = CalibrationConfig(**{k: v for k, v in words.items() if k in names})
    apply_pattern(config, "1,3", tmp_path / "resident", compensate="auto")
    monkeypatch.setattr(weights_place, "WEIGHTS_SHARE", 0.0)  # as if no memory were free
    lines = Lines()
    apply_pattern(config, "1,3", tmp_path / "streamed", compensate="auto", progress=lines)
    assert any(line.endswith("they are streamed") for line in lines.said)
    assert any(line.startswith("compensated: ") for line in lines.said)
    expected, written = (
        load_file(tmp_path / name / "model.safetensors") for name in ("resident", "streamed")
    )
    assert written.keys() == expected.keys()
    assert all(tensor.equal(expected[name]) for name, tensor in written.items())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fitness": "answers", "questions": ("a.jsonl",)}, "choose ce or kl"),
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
