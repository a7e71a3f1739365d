"""Named defaults of a training after pruning."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """Defaults of a training.

    Attributes:
        tokens: tokens to train on.
        window: tokens in a window.
        step_tokens: tokens in a step of the optimiser.
        rank: rank of the adapters.
        adapter_rate: highest learning rate of adapters.
        full_rate: highest learning rate of all weights.
        validations: number of validations during the training.
        patience: validations without a lower loss that end the training.
    """

    tokens: int
    window: int
    step_tokens: int
    rank: int
    adapter_rate: float
    full_rate: float
    validations: int
    patience: int


_FAST = Recipe(
    tokens=98_304,
    window=256,
    step_tokens=1024,
    rank=32,
    adapter_rate=2e-3,
    full_rate=3e-4,
    validations=8,
    patience=3,
)

RECIPES = {
    "fast": _FAST,
    "thorough": replace(_FAST, tokens=294_912, validations=12, patience=4),
}
