"""Speed of prefill, first token and decoding, measured in turns.

Every repeat runs each model once. A slowdown of the machine then affects all models alike, and
ratios are taken within a repeat.
"""

from __future__ import annotations

import inspect
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from evop_deap.evaluation.generating import continue_greedily
from evop_deap.models.anatomy.probe import embedding_table

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles.

    Example:
        >>> Spread.of([4.0, 1.0, 2.0, 3.0, 5.0])
        Spread(median=3.0, low=2.0, high=4.0)
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the median and the quartiles of at least one value."""
        low, high = np.quantile(values, [0.25, 0.75]).tolist()
        return cls(statistics.median(values), low, high)


MEASURES = ("prefill", "first_token", "decode")


@dataclass(frozen=True)
class Speed:
    """Seconds of one model at one batch size, repeat by repeat.

    Attributes:
        batch: batch size.
        prompt: tokens of each prompt.
        new: tokens added to each prompt.
        prefill: seconds of a pass over the prompts that fills the cache and predicts one token.
        first_token: seconds from the call of `generate` to the logits of the first token.
        decode: seconds from then until the other `new - 1` tokens of each row are chosen.

    Example:
        >>> run = Speed(2, 100, 11, prefill=(0.5, 0.4), first_token=(0.6, 0.5), decode=(2.0, 1.0))
        >>> run.rates("decode"), run.rates("prefill")
        ([10.0, 20.0], [400.0, 500.0])
    """

    batch: int
    prompt: int
    new: int
    prefill: tuple[float, ...]
    first_token: tuple[float, ...]
    decode: tuple[float, ...]

    def rates(self, measure: str) -> list[float]:
        """Return tokens per second in each repeat, or seconds for `first_token`."""
        seconds: tuple[float, ...] = getattr(self, measure)
        if measure == "first_token":
            return [*seconds]
        tokens = self.batch * (self.prompt if measure == "prefill" else self.new - 1)
        return [tokens / second for second in seconds]

    def speedup(self, dense: Speed, measure: str) -> Spread:
        """Return the dense model's seconds divided by this model's, paired by repeat."""
        mine, theirs = getattr(self, measure), getattr(dense, measure)
        return Spread.of([b / a for a, b in zip(mine, theirs, strict=True)])

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: seconds of every repeat and the median rates."""
        return {
            "batch": self.batch,
            "prompt_tokens": self.prompt,
            "new_tokens": self.new,
            "seconds": {name: [*getattr(self, name)] for name in MEASURES},
            "prefill_tokens_a_second": statistics.median(self.rates("prefill")),
            "first_token_seconds": statistics.median(self.first_token),
            "decode_tokens_a_second": statistics.median(self.rates("decode")),
        }


def measure_speed(
    models: Sequence[PreTrainedModel],
    *,
    batch: int,
    prompt_tokens: int = 128,
    new_tokens: int = 32,
    repeats: int = 5,
    seed: int = 0,
) -> tuple[Speed, ...]:
    """Time models in turns on the same random prompts, after a warm-up turn.

    Args:
        models: in evaluation mode, each on its device.
        batch: batch size.
        prompt_tokens: tokens of each prompt.
        new_tokens: tokens added to each prompt, at least 2.
        repeats: number of timed turns.
        seed: seed of the prompts.

    Returns:
        The speed of each model, in order.
    """
    words = min(embedding_table(model).shape[0] for model in models)
    generator = torch.Generator().manual_seed(seed)
    prompts = torch.randint(words, (batch, prompt_tokens), generator=generator)
    turns = [[_timed(model, prompts, new_tokens) for model in models] for _ in range(repeats + 1)]
    return tuple(
        Speed(batch, prompt_tokens, new_tokens, *zip(*own, strict=True))
        for own in zip(*turns[1:], strict=True)
    )


def _timed(
    model: PreTrainedModel, prompts: torch.Tensor, new_tokens: int
) -> tuple[float, float, float]:
    """Return the seconds of prefill, first token and decoding."""
    prompts = prompts.to(model.device)
    began = _now(model.device)
    _prefill(model, prompts)
    prefill = _now(model.device) - began
    watch = _first_token_watch(model.device)
    began = _now(model.device)
    continue_greedily(model, prompts, new_tokens, may_end=False, watcher=watch)
    ended = _now(model.device)
    return prefill, watch.seen - began, ended - watch.seen


def _prefill(model: PreTrainedModel, prompts: torch.Tensor) -> None:
    last: Any = {}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        last = {"logits_to_keep": 1}  # as `generate` does
    with torch.inference_mode():
        model(input_ids=prompts, use_cache=True, **last)


def _first_token_watch(device: torch.device) -> Any:
    """Return a logits processor that stores the time of the first logits as `seen`."""
    from transformers import LogitsProcessor

    class Watch(LogitsProcessor):
        seen = 0.0

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            if not self.seen:
                self.seen = _now(device)
            return scores

    return Watch()


def _now(device: torch.device) -> float:
    """Return the time in seconds after all work of the device is done."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()
