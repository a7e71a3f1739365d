"""Tiny models that are trained to be searched: made alike by the same seed, and loaded like any."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.landscapes import tiny_models
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.load_model import load_model

RECIPE = tiny_models.Recipe(layers=2, hidden=16, steps=60, batch=4, window=32, rate=0.02)


def made(recipe: tiny_models.Recipe, tokens: np.ndarray) -> dict[str, torch.Tensor]:
    model = tiny_models.make_model(recipe, 300)
    tiny_models.train(model, tokens, recipe)
    return model.state_dict()


def test_the_same_seed_makes_the_same_model_and_another_one_another() -> None:
    tokens = np.random.default_rng(0).integers(300, size=500)
    first, again, other = (
        made(tiny_models.Recipe(layers=1, hidden=16, steps=2, batch=2, window=16, seed=s), tokens)
        for s in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_model_learns_more_than_how_frequent_tokens_are() -> None:
    tokens = np.tile(np.arange(10), 200)
    model = tiny_models.make_model(RECIPE, 300)
    tiny_models.train(model, tokens, RECIPE)
    held = tokens[:320]
    assert tiny_models.unigram_loss(tokens, held, 300) > 2.3
    assert tiny_models.mean_loss(model, held, RECIPE.window) < 1.0


def test_the_learning_rate_rises_in_a_line_and_falls_to_a_tenth() -> None:
    recipe = tiny_models.Recipe(steps=1000, rate=1.0)
    rates = [tiny_models.learning_rate(step, recipe) for step in range(1001)]
    assert rates[0] == pytest.approx(1 / tiny_models.WARM_UP)
    assert int(np.argmax(rates)) in (tiny_models.WARM_UP - 1, tiny_models.WARM_UP)
    assert max(rates) == pytest.approx(1.0)
    assert rates[1000] == pytest.approx(0.1)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(f"Line {i} of a text, and {i * i} of it." for i in range(400)))
    return path


def test_the_command_writes_a_folder_that_loads_like_any_model(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes = ["--layers", "3", "--hidden", "16", "--vocabulary", "280", "--steps", "2"]
    argv = ["tiny_models", "--corpus", str(corpus), *sizes, "--output", str(tmp_path / "tiny")]
    monkeypatch.setattr(sys, "argv", argv)
    tiny_models.main()
    assert "held-out loss" in capsys.readouterr().out
    loaded = load_model(str(tmp_path / "tiny"))
    assert len(find_anatomy(loaded.model).blocks) == 3
    ids = loaded.tokenizer("Line 7 of a text").input_ids
    assert loaded.tokenizer.decode(ids) == "Line 7 of a text"


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--hidden", "20"), ("--window", "1"), ("--window", "600"), ("--steps", "0")],
)
def test_what_makes_no_model_is_refused_by_name(
    flag: str, value: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["tiny_models", "--corpus", str(corpus), "--output", str(tmp_path / "tiny"), flag, value]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(tiny_models.InputError, match=f"`{flag[2:]}`"):
        tiny_models.main()
    assert not (tmp_path / "tiny").exists()
