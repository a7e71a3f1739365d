"""Sets of blocks of which a model needs some, though each block alone may go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_models import nemotron_h, toy_model, toy_tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from evop_deap.inspect import main as inspect
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.surgery.inspection import inspect_model
from evop_deap.models.surgery.kinds import kinds_of
from evop_deap.models.surgery.rehearsal import check_removable
from evop_deap.models.surgery.set_rehearsal import find_constraints
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.run_search import run_search
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.search_config import SearchConfig


def hybrid(name: str) -> PreTrainedModel:
    if name == "nemotron-h":
        return nemotron_h(["mamba", "moe", "attention", "moe", "mamba", "attention"])
    return toy_model(name)


@pytest.mark.parametrize(
    ("name", "attention"),
    [("lfm2", {1, 4}), ("bamba", {1, 4}), ("nemotron-h", {2, 5}), ("recurrent-gemma", {2, 5})],
)
def test_a_hybrid_needs_one_of_its_attention_blocks(name: str, attention: set[int]) -> None:
    model = hybrid(name)
    anatomy = find_anatomy(model)
    n_blocks = len(anatomy.blocks)
    (found,) = find_constraints(model, anatomy, range(n_blocks), n_blocks - 1)
    assert (found.units, found.least) == (attention, 1)
    assert "must stay: " in found.reason
    assert "cache" in found.reason
    for kept in attention:
        check_removable(model, anatomy, sorted(attention - {kept}))


def test_halves_of_a_hybrid_keep_one_attention() -> None:
    model = toy_model("lfm2")
    anatomy = find_anatomy(model, "half")
    (found,) = find_constraints(model, anatomy, range(10), 9)
    assert ({anatomy.parts[unit].name for unit in found.units}, found.least) == (
        {"1.attn", "4.attn"},
        1,
    )


def test_a_set_that_the_budget_or_protected_blocks_keep_whole_is_no_constraint() -> None:
    model = toy_model("lfm2")
    anatomy = find_anatomy(model)
    assert find_constraints(model, anatomy, range(5), n_drop=1) == ()
    assert find_constraints(model, anatomy, [0, 1, 2, 3], n_drop=3) == ()


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt-oss", "qwen2-moe", "smollm3"])
def test_a_model_that_needs_no_kind_has_no_constraint(name: str) -> None:
    model = toy_model(name)
    anatomy = find_anatomy(model)
    assert find_constraints(model, anatomy, range(len(anatomy.blocks)), 4) == ()


def test_kinds_are_told_apart_by_configuration_and_class() -> None:
    model = nemotron_h(["mamba", "moe", "attention", "moe"])
    kinds = {kind.name: set(kind.blocks) for kind in kinds_of(model, find_anatomy(model))}
    assert {1, 3} in kinds.values()
    assert {0} in kinds.values()
    assert {2} in kinds.values()


@pytest.fixture(scope="module")
def lfm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hybrids") / "lfm2"
    tokenizer = toy_tokenizer()
    model = toy_model("lfm2")
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_inspect_shows_the_blocks_of_which_one_must_stay(
    lfm2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect([str(lfm2), "--quiet", "--device", "cpu"]) == 0
    assert "at least 1 of 1 and 4 (full_attention) must stay: " in capsys.readouterr().out
    model = toy_model("lfm2")
    facts = inspect_model(model, find_anatomy(model)).as_dict()
    (constraint,) = facts["constraints"]
    assert (constraint["blocks"], constraint["least"]) == ([1, 4], 1)


@pytest.mark.parametrize("method", ["search", pytest.param("last", marks=pytest.mark.slow)])
@pytest.mark.parametrize("granularity", ["block", "half"])
def test_no_search_drops_all_attention_of_a_hybrid(
    lfm2: Path, run_settings: dict[str, Any], method: str, granularity: str, tmp_path: Path
) -> None:
    class Told(Progress):
        def __init__(self) -> None:
            self.said: list[str] = []

        def stage(self, message: str) -> None:
            self.said.append(message)

    told = Told()
    config = SearchConfig(
        **{**run_settings, "model": str(lfm2), "population": 8, "generations": 3},
        sparsity=0.8, method=method, granularity=granularity,
    )  # fmt: skip
    result = run_search(config, tmp_path / "run", progress=told)
    assert isinstance(result, SearchResult)
    assert any("must stay: " in one for one in told.said)
    assert {"1", "4", "1.attn", "4.attn"} & set(result.kept)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model") is not None
