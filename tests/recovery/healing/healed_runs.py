"""A toy run to heal, over text that the dense model has written itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from own_text import own_corpus

from evop_deap.runs.run_search import run_search
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
