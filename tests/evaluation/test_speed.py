"""Timing models in turns, and what they weigh."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from toy_models import toy_model
from transformers import PreTrainedModel

from evop_deap.base.errors import InputError
from evop_deap.evaluation.memory import main, peak_memory
from evop_deap.evaluation.sizes import file_bytes, measure_sizes
from evop_deap.evaluation.speed import MEASURES, Speed, Spread, measure_speed
from evop_deap.models.loading.load_model import load_model


def test_models_take_turns_on_prompts_of_the_asked_size() -> None:
    models = [toy_model("llama"), toy_model("gpt2")]
    ran: list[tuple[int, tuple[int, ...]]] = []

    def note(which: int, model: PreTrainedModel) -> None:
        def hook(module, args, kwargs):
            ran.append((which, tuple(kwargs["input_ids"].shape)))

        model.register_forward_pre_hook(hook, with_kwargs=True)

    for which, model in enumerate(models):
        note(which, model)
    speeds = measure_speed(models, batch=3, prompt_tokens=7, new_tokens=4, repeats=2)
    one_turn = [(3, 7), (3, 7), (3, 1), (3, 1), (3, 1)]  # prefill, then generation
    assert ran == [(which, s) for _ in range(3) for which in (0, 1) for s in one_turn]
    for speed in speeds:
        assert (speed.batch, speed.prompt, speed.new) == (3, 7, 4)
        for measure in MEASURES:
            assert len(getattr(speed, measure)) == 2
            assert min(getattr(speed, measure)) > 0
        json.dumps(speed.as_dict(), allow_nan=False)


def test_generation_goes_on_past_the_end_of_a_text() -> None:
    model = toy_model("llama")
    steps: list[int] = []
    model.register_forward_pre_hook(lambda *_: steps.append(1))
    model.generation_config.eos_token_id = list(range(model.config.vocab_size - 1))
    measure_speed([model], batch=1, prompt_tokens=4, new_tokens=6, repeats=1)
    assert len(steps) == 2 * (1 + 6)


def test_a_speedup_is_taken_within_repeats() -> None:
    dense = Speed(1, 10, 5, (1.0, 2.0, 4.0), (2.0, 4.0, 8.0), (4.0, 8.0, 16.0))
    pruned = Speed(1, 10, 5, (0.5, 1.0, 2.0), (1.0, 4.0, 2.0), (4.0, 8.0, 16.0))
    assert pruned.speedup(dense, "prefill") == Spread(2.0, 2.0, 2.0)
    assert pruned.speedup(dense, "first_token") == Spread(2.0, 1.5, 3.0)
    assert pruned.speedup(dense, "decode") == Spread(1.0, 1.0, 1.0)
    assert dense.rates("prefill") == [10.0, 5.0, 2.5]
    assert dense.rates("decode") == [1.0, 0.5, 0.25]


def test_sizes_are_those_of_the_checkpoint(toy_checkpoint: Path) -> None:
    loaded = load_model(str(toy_checkpoint))
    sizes = measure_sizes(loaded)
    assert sizes.blocks == 5
    assert sizes.parameters == loaded.model.num_parameters()
    assert sizes.file_bytes == (toy_checkpoint / "model.safetensors").stat().st_size


def test_files_that_are_not_here_have_no_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert file_bytes("nobody/no-such-model") is None
    assert file_bytes(str(tmp_path)) is None


def test_the_process_that_is_measured_tells_its_peak(
    toy_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (toy_checkpoint / "model.safetensors").stat().st_size
    assert main(json.dumps([str(toy_checkpoint), {"device": "cpu"}, 2, 4, 2])) == 0
    assert weights < int(capsys.readouterr().out) < 16 * 2**30


def test_a_model_that_cannot_be_loaded_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(json.dumps([str(tmp_path), {}, 1, 4, 2])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no config.json" in line


def test_a_process_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = tmp_path / "python"
    shell.write_text("#!/bin/sh\necho first >&2\necho no memory left >&2\nexit 2\n")
    shell.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shell))
    with pytest.raises(InputError, match="of toy cannot be measured: no memory left$"):
        peak_memory("toy")
