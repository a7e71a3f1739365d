"""Toys to heal: a run over text that the dense model wrote itself, and plain checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from own_text import own_corpus
from toy_models import toy_tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from evop_deap.runs.apply_pattern import apply_pattern
from evop_deap.runs.run_search import run_search
from evop_deap.settings.calibration_config import CalibrationConfig
from evop_deap.settings.search_config import SearchConfig


def toy_run(folder: Path) -> dict[str, Any]:
    """Settings of a healing of a finished, compensated run in `folder`."""
    model, corpus = own_corpus(folder, 240)
    config = SearchConfig(
        model=model, corpus=corpus, window=32, tokens=256,
        heldout_tokens=512, compensation_tokens=2048, method="last", cache=False, sparsity=0.4,
    )  # fmt: skip
    run_search(config, folder / "run")
    return {"source": str(folder / "run"), "window": 32, "tokens": 3072, "learning_rate": 2e-3}


def toy_text(path: Path) -> Path:
    """Documents of three kinds that a toy can learn to tell."""
    kinds = ["apple pear plum fruit", "steel iron zinc metal", "river lake sea water"]
    rows = [{"id": f"{i}", "text": f"{kinds[i % 3]} {i} " * 9} for i in range(90)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pruned_toy(
    folder: Path, model: PreTrainedModel, *, drop: str = "1,3", nan_for: str | None = None
) -> list[str]:
    """A command that heals a toy without some blocks in twelve steps, but for the output.

    Args:
        folder: gets the dense and the pruned model and the text.
        model: the dense model, but for its vocabulary.
        drop: blocks to drop.
        nan_for: a character that neither model can read: a layer norm of its embedding overflows.
    """
    tokenizer = toy_tokenizer()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder / "dense")
    tokenizer.save_pretrained(folder / "dense")
    apply_pattern(CalibrationConfig(model=str(folder / "dense")), drop, folder / "pruned")
    for name in ("dense", "pruned") if nan_for else ():
        made = AutoModelForCausalLM.from_pretrained(folder / name)
        with torch.no_grad():
            made.get_input_embeddings().weight[tokenizer(nan_for).input_ids[0]] = 3e38
        made.save_pretrained(folder / name)
    base = []
    if nan_for:
        (folder / "pruned" / "README.md").unlink()  # it has the fingerprint of finite weights
        base = ["--base", str(folder / "dense")]
    return [
        str(folder / "pruned"), "--corpus", str(toy_text(folder / "texts.jsonl")),
        "--window", "16", "--tokens", "12288", "--learning-rate", "0.01", "--loss", "ce",
        "--quiet", *base,
    ]  # fmt: skip
