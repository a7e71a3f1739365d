"""A toy run to heal, over text that the dense model has written itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from toy_models import toy_model, toy_tokenizer

from evop_deap.runs.run_search import run_search
from evop_deap.settings.search_config import SearchConfig


def toy_run(folder: Path) -> dict[str, Any]:
    """Settings of a healing of a finished, compensated run in `folder`."""
    model, tokenizer = toy_model("llama"), toy_tokenizer()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder / "toy")
    tokenizer.save_pretrained(folder / "toy")
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 80, (240, 1), generator=generator)
    with torch.no_grad():
        while ids.shape[1] < 48:
            logits = model(input_ids=ids, use_cache=False).logits[:, -1, :88]
            ids = torch.cat([ids, torch.multinomial((2 * logits).softmax(-1), 1,
                                                    generator=generator)], 1)  # fmt: skip
    texts = [{"id": str(i), "text": tokenizer.decode(row)} for i, row in enumerate(ids)]
    (folder / "own.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    config = SearchConfig(
        model=str(folder / "toy"), corpus=str(folder / "own.jsonl"), window=32, tokens=256,
        heldout_tokens=512, compensation_tokens=2048, method="last", cache=False, sparsity=0.4,
    )  # fmt: skip
    run_search(config, folder / "run")
    return {"source": str(folder / "run"), "window": 32, "tokens": 3072, "learning_rate": 2e-3}


def heal_in_a_child(settings: dict[str, Any], output: str, kill_at: int) -> None:
    """Heal in this process, which is killed when it reaches a step."""
    import os
    import signal

    from evop_deap.recovery.healing.healing_listener import HealingListener
    from evop_deap.runs.heal.heal_run import heal
    from evop_deap.settings.healing_config import HealingConfig

    class Killer(HealingListener):
        def step(self, step: int, loss: float) -> None:
            if step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    heal(HealingConfig(**settings), Path(output), listener=Killer())
