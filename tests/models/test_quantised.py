"""Quantised checkpoints are evaluated as they are, and pruned in their files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy_models import shared_toy, toy_logits
from toy_quantised import KINDS, fields_of, write_quantised
from transformers import AutoModelForCausalLM

from evop_deap.apply import main as apply
from evop_deap.base.errors import UnsupportedModelError
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.quantisation import each_token_alone, is_quantised, settle
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.loading.load_model import LoadedModel, load_model
from evop_deap.models.streaming.weights_needs import weights_needs
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.models.surgery.rehearsal import check_removable
from evop_deap.models.surgery.repacking import without_blocks


@pytest.fixture(scope="module", params=sorted(KINDS))
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quantised toy of every kind in turn."""
    return write_quantised(request.param, tmp_path_factory.mktemp("quantised"))


@pytest.fixture(scope="module")
def loaded(checkpoint: Path) -> LoadedModel:
    return load_model(str(checkpoint))


@pytest.fixture(scope="module")
def halves(loaded: LoadedModel) -> Anatomy:
    return find_anatomy(loaded.model, "half")


def test_units_count_as_before_quantisation(loaded: LoadedModel, halves: Anatomy) -> None:
    dense = find_anatomy(shared_toy("llama"), "half")
    assert is_quantised(loaded.model)
    for part, of_dense in zip(halves.parts, dense.parts, strict=True):
        assert (part.unit.parameters, part.unit.work) == (
            of_dense.unit.parameters, of_dense.unit.work
        )  # fmt: skip
    assert halves.dense_work - halves.head_work == dense.dense_work - dense.head_work


def test_what_its_weights_take_is_what_is_in_memory(loaded: LoadedModel, halves: Anatomy) -> None:
    held, *others = weights_needs(loaded, halves, 2**30, (torch.device("cpu"),)).ways
    footprint = loaded.model.get_memory_footprint(return_buffers=True)
    # Of torchao's tensors, transformers counts what they stand for.
    assert held.bytes < footprint if loaded.name.endswith("torchao") else held.bytes == footprint
    assert (held.weights, held.dtype, held.fits) == ("resident", "float32", True)
    assert [way.obstacle for way in others] == ["it is quantised: name its dense original"]


def test_a_fingerprint_stays_and_tells_weights_apart(
    checkpoint: Path, loaded: LoadedModel, halves: Anatomy
) -> None:
    again = load_model(str(checkpoint)).model
    before = fingerprint_model(again)
    assert before == fingerprint_model(loaded.model)
    toy_logits(again)
    assert fingerprint_model(again) == before
    assert fingerprint_model(without_blocks(again, halves.of_blocks, [0])) != before


def test_the_population_evaluator_equals_the_model(loaded: LoadedModel, halves: Anatomy) -> None:
    windows = np.random.default_rng(0).integers(96, size=(2, 12))
    patterns = [(1,) * 10, (1, 1, 0, 0, 1, 1, 0, 1, 1, 0), (0, 1) * 5]
    fast = PopulationEvaluator(loaded.model, halves, windows).evaluate(patterns)
    slow = ReferenceEvaluator(loaded.model, halves, windows).evaluate(patterns)
    assert np.abs(fast.losses - slow.losses).max() <= 1e-4


@pytest.mark.parametrize(
    ("pattern", "units"), [("0,2", [0, 1, 4, 5]), ("1.mlp,2.attn,4", [3, 4, 8, 9])]
)
def test_an_export_is_the_bypassed_model(
    pattern: str,
    units: list[int],
    checkpoint: Path,
    loaded: LoadedModel,
    halves: Anatomy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "pruned"
    arguments = ["--model", str(checkpoint), "--pattern", pattern, "--output", str(folder)]
    assert apply([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out.startswith(f"{folder}: 3 layers")
    pruned = AutoModelForCausalLM.from_pretrained(folder)
    settle(pruned)
    with bypassed(halves, units):
        assert torch.equal(toy_logits(pruned), toy_logits(loaded.model))
    about = fields_of(folder)["quantization_config"]
    assert about["quant_method"] == fields_of(checkpoint)["quantization_config"]["quant_method"]


def test_an_export_holds_the_bits_of_the_kept_blocks(checkpoint: Path, tmp_path: Path) -> None:
    folder, prefix = tmp_path / "pruned", "model.layers."
    model = ["--model", str(checkpoint)]
    assert apply([*model, "--pattern", "0,2", "--output", str(folder), "--quiet"]) == 0
    dense, pruned = (
        {name: t for file in where.glob("*.safetensors") for name, t in load_file(file).items()}
        for where in (checkpoint, folder)
    )
    kept = {1: 0, 3: 1, 4: 2}
    for name, tensor in dense.items():
        inside = re.match(rf"{re.escape(prefix)}(\d+)\.(.*)", name)
        if inside is None or int(inside[1]) in kept:
            new = name if inside is None else f"{prefix}{kept[int(inside[1])]}.{inside[2]}"
            assert torch.equal(pruned.pop(new), tensor), name
    assert not pruned


def test_no_token_changes_how_another_one_is_rounded_while_parts_are_looked_for(
    loaded: LoadedModel,
) -> None:
    states = [one.state for one in loaded.model.modules() if hasattr(one, "state")]
    before = [state.threshold for state in states]
    ids = torch.arange(1, 13)[None]
    changed = torch.cat([ids[:, :-1], ids[:, -1:] + 40], dim=1)
    with torch.no_grad(), each_token_alone(loaded.model):
        logits, others = (loaded.model(each).logits[:, :-1] for each in (ids, changed))
    assert torch.equal(logits, others)
    assert [state.threshold for state in states] == before


def test_a_half_that_would_be_zero_is_refused(loaded: LoadedModel, halves: Anatomy) -> None:
    with pytest.raises(UnsupportedModelError, match="quantised .*, so no half .* `repackable`"):
        check_removable(loaded.model, halves, [1])


def test_compensation_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "text.txt"
    corpus.write_text("apple pear plum\n" * 400)
    arguments = ["--model", str(checkpoint), "--pattern", "1", "--output", str(tmp_path / "to")]
    assert apply([*arguments, "--compensate", "full", "--corpus", str(corpus), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "`compensate` full solves weights anew, but those of" in err
    assert not (tmp_path / "to").exists()
