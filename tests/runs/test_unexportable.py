"""Patterns that cannot be exported: near-equals take their place, and no result is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_models import toy_model, toy_tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from evop_deap.base.errors import ExportError
from evop_deap.report import main as report
from evop_deap.runs.run_search import run_search
from evop_deap.runs.storage.loaded_run import load_run
from evop_deap.runs.storage.result import SearchResult
from evop_deap.search import main as search
from evop_deap.settings.search_config import SearchConfig


def write_gemma4(folder: Path) -> Path:
    """A toy Gemma-4, whose last layer must have full attention: it cannot be without 3 and 4.

    Its blocks 3 and 4 do nothing.
    """
    tokenizer = toy_tokenizer()
    model: PreTrainedModel = toy_model("gemma4")
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for block in (3, 4):
            layer = model.get_submodule(f"model.layers.{block}")
            for parameter in layer.parameters():
                parameter.mul_(0.1 if parameter.ndim > 1 else 1.0)
            for norm in ("post_attention_layernorm", "post_feedforward_layernorm"):
                layer.get_submodule(norm).weight.zero_()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def gemma4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gemma4(tmp_path_factory.mktemp("models") / "gemma4")


@pytest.fixture
def settings(gemma4: Path, run_settings: dict[str, Any]) -> dict[str, Any]:
    more = {
        "compensate": "scale",
        "population": 8,
        "generations": 4,
        "seed": 2,
        "protect": ("0", "2"),
        "sparsity": 0.4,
    }
    return {**run_settings, "model": str(gemma4), **more}


def test_the_next_near_equal_that_can_be_exported_is_exported(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    result = run_search(SearchConfig(**settings), tmp_path / "run")
    assert isinstance(result, SearchResult)
    assert [one["dropped"] for one in result.refused] == [["3", "4"]]
    assert "layer_types" in result.refused[0]["reason"]
    assert result.dropped in {("1", "3"), ("1", "4")}
    assert result.checkpoint is not None
    assert [one["dropped"] for one in result.finalists][-1] == ["3", "4"]
    assert result.compensation is not None
    assert result.compensation["validation"] is not None  # of the pattern that took its place
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model")
    assert len(model.model.layers) == 3
    told = json.loads((tmp_path / "run" / "result.json").read_text())
    assert told["refused"] == [{**result.refused[0]}]
    again = run_search(SearchConfig(**settings), tmp_path / "run", resume=True)
    assert {**again.as_dict(), "seconds": 0} == {**result.as_dict(), "seconds": 0}


def test_a_pattern_that_cannot_be_exported_leaves_its_result(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SearchConfig(**settings, method="magnitude")
    with pytest.raises(ExportError, match=r"without 3, 4 cannot be exported: .*layer_types"):
        run_search(config, tmp_path / "run")
    folder = tmp_path / "run"
    assert not (folder / "model").exists()
    assert (folder / "layer_drop_config.txt").exists()
    assert (folder / "report.html").exists()
    result = load_run(folder).result
    assert result is not None
    assert result.dropped == ("3", "4")
    assert (result.checkpoint, result.export_difference) == (None, None)
    assert result.compensation is not None
    assert result.compensation["reason"] == "no pattern found can be exported"
    written = (folder / "result.json").stat().st_mtime_ns
    assert report([str(folder), "--output", str(tmp_path / "page.html")]) == 0
    capsys.readouterr()
    assert search(["--resume", "--output", str(folder), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "without 3, 4 cannot be exported" in said
    assert "`protect` one of these units" in said
    assert "Traceback" not in said
    assert (folder / "result.json").stat().st_mtime_ns >= written
    assert not (folder / "model").exists()


def test_one_budget_of_several_that_cannot_be_exported_does_not_stop_the_others(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    several = SearchConfig(
        **{**settings, "sparsity": (0.2, 0.4), "method": "magnitude", "protect": ()}
    )
    with pytest.raises(ExportError, match=r"without 3, 4 cannot be exported.*sparsity-0.4"):
        run_search(several, tmp_path / "run")
    assert (tmp_path / "run" / "curve.json").exists()
    made = {p.parent.name for p in (tmp_path / "run").glob("*/model")}
    assert made == {"sparsity-0.2"}
