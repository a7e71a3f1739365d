"""Text that a toy model itself has written, so that its loss on it means something."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from toy_models import toy_model, toy_tokenizer
from transformers import PreTrainedModel


def own_text(model: PreTrainedModel, rows: int, length: int = 24) -> NDArray[np.int64]:
    """(rows, length) tokens drawn from the model's own predictions, after a first random one."""
    return _drawn(model, rows, length).copy()


@cache
def _drawn(model: PreTrainedModel, rows: int, length: int) -> NDArray[np.int64]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 80, (rows, 1), generator=generator)
    with torch.no_grad():
        while ids.shape[1] < length:
            logits = model(input_ids=ids, use_cache=False).logits[:, -1, :88]
            chances = (2.0 * logits).softmax(-1)
            ids = torch.cat([ids, torch.multinomial(chances, 1, generator=generator)], 1)
    return ids.numpy()


def own_corpus(folder: Path, rows: int, length: int = 48) -> tuple[str, str]:
    """Write a toy model into `folder`, and a corpus that it has written: their paths."""
    model, tokenizer = toy_model("llama"), toy_tokenizer()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder / "toy")
    tokenizer.save_pretrained(folder / "toy")
    texts = [
        {"id": str(i), "domain": "ab"[i % 2], "text": tokenizer.decode(row)}
        for i, row in enumerate(own_text(model, rows, length))
    ]
    (folder / "own.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    return str(folder / "toy"), str(folder / "own.jsonl")


def quick_search(model: str, corpus: str) -> dict[str, Any]:
    """Settings of a quick search of a toy that compensates what it finds."""
    return {
        "model": model, "corpus": corpus, "window": 32,
        "tokens": 256, "heldout_tokens": 512, "compensation_tokens": 4096, "population": 3,
        "tournament": 2, "offspring": 2, "generations": 1, "cache": False, "sparsity": 0.4,
    }  # fmt: skip
