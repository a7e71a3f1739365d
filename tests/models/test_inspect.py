"""What is known of a model before anything is searched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_models import anatomy_of, toy_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.inspect import main
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.surgery import inspection
from evop_deap.models.surgery.facts_table import facts_table
from evop_deap.models.surgery.inspection import ModelFacts, inspect_model


def facts_of(name: str) -> ModelFacts:
    model = toy_model(name)
    return inspect_model(model, find_anatomy(model))


def test_parameters_add_up_for_every_architecture(
    any_model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "check_removable", lambda model, anatomy, dropped: None)
    facts = inspect_model(any_model, anatomy_of(any_model))
    assert facts.outside + sum(block.parameters for block in facts.blocks) == facts.parameters
    assert facts.parameters == sum(p.numel() for p in any_model.parameters())
    for block in facts.blocks:
        halves = (block.attention or 0) + (block.mlp or 0)
        assert halves <= block.parameters
        assert 0 <= block.routed < 1
    assert facts_table(facts)


@pytest.mark.parametrize(
    ("name", "heads", "width", "window"),
    [
        ("llama", 2, 8, None),
        ("qwen3", 2, 8, None),
        ("gpt2", 4, 8, None),
        ("falcon-old", 1, 8, None),
    ],
)
def test_kv_bytes_are_those_of_keys_and_values(
    name: str, heads: int, width: int, window: int | None
) -> None:
    facts = facts_of(name)
    assert {block.kv_bytes for block in facts.blocks} == {2 * heads * width * 4}  # float32
    assert {block.kv_window for block in facts.blocks} == {window}
    assert all(block.obstacle is None for block in facts.blocks)


def test_layers_with_a_window_and_without_are_told_apart() -> None:
    facts = facts_of("qwen2")
    kinds = [(block.kind, block.kv_window is not None) for block in facts.blocks]
    assert kinds == [("full_attention", False)] * 3 + [("sliding_attention", True)] * 2
    lines = facts_table(facts).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["0-2", "3-4"]


def test_experts_that_a_token_is_not_sent_to_are_counted() -> None:
    routed = [block.routed for block in facts_of("mixtral").blocks]
    assert all(0.25 < share < 0.5 for share in routed)  # two of four experts, attention for all
    assert all(block.routed == 0 for block in facts_of("llama").blocks)


def test_a_block_that_must_stay_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(model: object, anatomy: object, dropped: list[int]) -> None:
        if dropped == [1]:
            raise UnsupportedModelError("block 1 counts the tokens for all others")

    monkeypatch.setattr(inspection, "check_removable", check)
    facts = facts_of("llama")
    assert [block.obstacle is None for block in facts.blocks] == [True, False, False, False, True]
    # Between the ends all are alike, so that one stands for all.
    assert [block.rehearsed_as for block in facts.blocks] == [0, 1, 1, 1, 4]
    assert "must stay: 1, 2, 3: block 1 counts the tokens" in facts_table(facts)


def test_the_command_prints_a_table_or_json(
    toy_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(toy_checkpoint), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "0-4" in out
    assert "LlamaForCausalLM in float32" in out
    assert main([str(toy_checkpoint), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "rehearsing" in err
    facts = json.loads(out)
    assert len(facts["blocks"]) == 5
    assert facts["path"] == "model.layers"
    assert {way["weights"] for way in facts["memory"]["ways"]} == {"resident", "streamed"}
    assert "generation" not in facts


def test_a_generation_is_measured_when_asked_for(
    toy_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(toy_checkpoint), "--device", "cpu", "--quiet", "--measure"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "--weights streamed --dtype float32" in out
    assert "a generation of 4 patterns over 2,048 tokens takes about" in out
    assert "reading takes less than half of the time from --offspring" in out
    assert main([*command, "--json"]) == 0
    generation = json.loads(capsys.readouterr().out)["generation"]
    assert (generation["weights"], generation["patterns"]) == ("resident", 4)
    assert generation["enough_patterns"] >= 1


def test_a_model_of_one_block_has_no_generation_to_measure(
    toy_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(toy_checkpoint, num_hidden_layers=1)
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(toy_checkpoint).save_pretrained(tmp_path)
    assert main([str(tmp_path), "--quiet"]) == 0
    assert "it is the only block" in capsys.readouterr().out
    assert main([str(tmp_path), "--quiet", "--measure"]) == 2
    assert "`measure` needs a model of at least two blocks" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nothing"), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    assert "`model` names" in err
