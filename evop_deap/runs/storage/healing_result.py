"""The result of a training after pruning, and the table that it prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evop_deap.base.formatting import duration, figure
from evop_deap.base.numbers import exponential, finite_or_none


@dataclass(frozen=True)
class HealingResult:
    """The outcome of a training after pruning.

    Attributes:
        source: folder of the run or checkpoint.
        base: name of the dense model.
        base_fingerprint: hash of its weights and configuration.
        corpus: name of the corpus.
        windows: number of windows of "training", "validation" and "heldout" text.
        window: tokens in a window.
        left_out: windows left out, as the dense model's predictions are not finite on them.
        loss: by text, "validation" and "heldout", the mean loss of each model in nats per token:
            "dense", "pruned" if the pattern is known and "compensated" if the checkpoint is,
            else "given", and "healed".
        taken: whether the trained model was handed over; else the given one was, as it is.
        reason: why not; "" if it was.
        trained: "all weights" or "adapters".
        objective: "kl", "ce" or "mix".
        settings: the plan of the training.
        tokens: tokens trained on.
        steps: steps of the optimiser.
        best_step: step with the lowest validation loss; None if none improved.
        course: the validations: "step", "loss", "divergence" and "seconds".
        losses: training loss of each step.
        stopped: why the training ended.
        seconds: time of the training, in all processes.
        parameters: parameters of the model.
        seed: seed of everything random.
        versions: versions of the relevant packages.
    """

    source: str
    base: str
    base_fingerprint: str
    corpus: str
    windows: Mapping[str, int]
    window: int
    left_out: int
    loss: Mapping[str, Mapping[str, float]]
    taken: bool
    reason: str
    trained: str
    objective: str
    settings: Mapping[str, Any]
    tokens: int
    steps: int
    best_step: int | None
    course: Sequence[Mapping[str, Any]]
    losses: Sequence[float]
    stopped: str
    seconds: float
    parameters: int
    seed: int
    versions: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; numbers that are not finite become None."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain

    @property
    def before(self) -> str:
        """Name of the given model in `loss`."""
        return next(n for n in ("compensated", "given", "pruned") if n in self.loss["heldout"])

    @property
    def recovered(self) -> float | None:
        """Share of the pruned model's excess on held-out text that is gone; None without any."""
        loss = self.loss["heldout"]
        worst = loss.get("pruned", loss[self.before])
        excess = worst - loss["dense"]
        return (worst - loss["healed"]) / excess if excess > 0 else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return finite_or_none(value) if isinstance(value, float) else value


def healing_table(result: HealingResult) -> str:
    """Return the result as text: perplexities side by side, and the training."""
    names = list(result.loss["heldout"])
    rows = [["perplexity", *names]]
    for text, losses in result.loss.items():
        shown = {"heldout": "held-out"}.get(text, text)
        rows.append([shown, *(figure(exponential(losses[name])) for name in names)])
    lines = [f"{row[0]:<12}{''.join(f'{cell:>13}' for cell in row[1:])}" for row in rows]
    share = result.recovered
    gained = f"{share:.0%} of the excess is gone, on held-out text; " if share else ""
    if not result.taken:
        gained = f"the given model is handed over: {result.reason}; "
    return "\n".join(
        [
            *lines,
            "",
            f"{gained}{result.trained} trained on {result.tokens:,} tokens of {result.corpus} in "
            f"{duration(result.seconds)}; stopped {result.stopped}",
        ]
    )
