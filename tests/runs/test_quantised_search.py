"""A search of a quantised model, and an export from the dense original of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_models import toy_logits
from toy_quantised import fields_of, write_quantised
from transformers import AutoModelForCausalLM

from evop_deap.apply import main as apply
from evop_deap.base.errors import CheckpointError, InputError
from evop_deap.export import main as export
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.loading.load_model import LoadedModel, load_model
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.runs.export_run import export_run
from evop_deap.runs.heal.heal_source import heal_source
from evop_deap.runs.identity import resumed_settings
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.quantised_choice import for_weights
from evop_deap.runs.run_search import run_search
from evop_deap.settings.healing_config import HealingConfig
from evop_deap.settings.search_config import SearchConfig


class Heard(Progress):
    """The lines that a run tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy in the 4 bits of compressed-tensors; its dense original lies beside it."""
    return write_quantised("compressed-tensors", tmp_path_factory.mktemp("quantised"))


@pytest.fixture(scope="module")
def loaded(checkpoint: Path) -> LoadedModel:
    return load_model(str(checkpoint))


def settings_of(run_settings: dict[str, Any], model: Path, **more: Any) -> SearchConfig:
    plain = {**run_settings, "compensate": "auto", **more}
    return SearchConfig(**{**plain, "model": str(model), "sparsity": 0.4, "init": ("heuristics",)})


def assert_bypassed(folder: Path, dense: Path, dropped: list[str]) -> None:
    """The checkpoint in `folder` computes what `dense` does without these blocks."""
    models = [AutoModelForCausalLM.from_pretrained(path).eval() for path in (folder, dense)]
    for model in models:
        toy_logits(model)  # packed weights are unpacked in the first pass
    with bypassed(find_anatomy(models[1]), [int(unit) for unit in dropped]):
        assert torch.equal(toy_logits(models[0]), toy_logits(models[1]))


def test_a_quantised_model_is_searched_and_written_as_it_is(
    run_settings: dict[str, Any], checkpoint: Path, tmp_path: Path
) -> None:
    heard = Heard()
    run_search(settings_of(run_settings, checkpoint), tmp_path / "run", progress=heard)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["export_difference"] == 0.0
    assert_bypassed(tmp_path / "run" / "model", checkpoint, result["dropped"])
    assert "quantization_config" in fields_of(tmp_path / "run" / "model")
    about = ("its weights are quantised", "not compensated")
    assert [line for line in heard.lines if line.startswith(about)] == [
        "its weights are quantised (compressed-tensors) and are evaluated as they are; self-check "
        "and export compare in float32: losses within 0.0001 nats a token, logits within 1e-05 of "
        "the largest",
        "not compensated: quantised weights cannot be solved anew",
    ]
    assert not any("weight magnitude" in line or "Taylor" in line for line in heard.lines)
    assert (tmp_path / "run" / "layer_drop_config.txt").exists()
    assert not (tmp_path / "run" / "mergekit.yaml").exists()
    with pytest.raises(InputError, match="mergekit cannot read the weights"):
        export_run(tmp_path / "run", "mergekit")


def test_its_dense_original_is_written_without_the_same_blocks(
    run_settings: dict[str, Any], checkpoint: Path, tmp_path: Path
) -> None:
    dense, run = checkpoint.with_name("dense"), tmp_path / "run"
    run_search(settings_of(run_settings, checkpoint, export_from=str(dense)), run)
    dropped = json.loads((run / "result.json").read_text())["dropped"]
    assert_bypassed(run / "model", dense, dropped)
    card = (run / "model" / "README.md").read_text()
    assert f"evop_base: {json.dumps(str(dense))}" in card
    assert f"weights are those of {dense}" in card.replace("\\", "")
    recipe = (run / "mergekit.yaml").read_text()
    assert recipe.count(f"model: {json.dumps(str(dense))}") == recipe.count("model:") > 0
    assert export_run(run, "mergekit") + "\n" == recipe
    healed = heal_source(HealingConfig(source=str(run)))
    own = fingerprint_model(load_model(str(dense)).model)
    assert (healed.base, healed.fingerprint, healed.dtype) == (str(dense), own, "float32")
    assert export([str(run), "--output", str(tmp_path / "again"), "--quiet"]) == 0
    assert_bypassed(tmp_path / "again", dense, dropped)
    assert resumed_settings(run, {"export_from": str(dense)})["export_from"] == str(dense)
    with pytest.raises(CheckpointError, match=f"has export_from {dense}, but got elsewhere"):
        resumed_settings(run, {"export_from": "elsewhere"})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"compensate": "full"}, "`compensate` full solves weights anew"),
        ({"method": "taylor"}, "`method` taylor reads weights as numbers"),
        ({"method": "laco"}, "`method` laco reads weights as numbers"),
        ({"init": ("magnitude",)}, "`init` magnitude reads weights as numbers"),
        ({"export_from": "dense", "compensate": "map"}, "changes weights of `model`"),
        ({"export_from": "dense", "method": "laco"}, "merges blocks of `model`"),
        ({"export_from": "self"}, "is quantised (compressed-tensors): name the dense original"),
        ({"export_from": "nothing/here"}, "`export_from` nothing/here cannot be loaded"),
    ],
)
def test_settings_that_need_other_weights_are_refused(
    settings: dict[str, Any], says: str, loaded: LoadedModel
) -> None:
    places = {"dense": Path(loaded.name).with_name("dense"), "self": loaded.name}
    if (base := settings.get("export_from")) is not None:
        settings = {**settings, "export_from": str(places.get(base, base))}
    config = SearchConfig(model=loaded.name, sparsity=0.4, **settings)
    with pytest.raises(InputError) as raised:
        for_weights(config, loaded, Progress())
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value"), [("num_hidden_layers", 4), ("model_type", "mistral"), ("hidden_size", 64)]
)
def test_a_base_that_is_built_otherwise_is_refused(
    field: str,
    value: Any,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = shutil.copytree(checkpoint.with_name("dense"), tmp_path / "other")
    (other / "config.json").write_text(json.dumps({**fields_of(other), field: value}))
    arguments = ["--model", str(checkpoint), "--pattern", "1", "--export-from", str(other)]
    assert apply([*arguments, "--output", str(tmp_path / "to"), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert f"`export_from` {other} has `{field}` {value}" in err.replace("'", "").replace('"', "")
    assert "name the dense original of it" in err
    assert not (tmp_path / "to").exists()


def test_a_pattern_is_applied_to_the_dense_original(checkpoint: Path, tmp_path: Path) -> None:
    dense = checkpoint.with_name("dense")
    arguments = ["--model", str(checkpoint), "--pattern", "1,3", "--export-from", str(dense)]
    assert apply([*arguments, "--output", str(tmp_path / "to"), "--quiet"]) == 0
    assert_bypassed(tmp_path / "to", dense, ["1", "3"])
