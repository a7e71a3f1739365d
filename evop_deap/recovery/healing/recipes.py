"""Named defaults of a training after pruning."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


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


def recipe_table() -> str:
    """Return the recipes side by side, as text for a terminal.

    Example:
        >>> print(recipe_table().splitlines()[1])
        tokens             98,304     294,912
    """
    rows = [["", *RECIPES]]
    for field in fields(Recipe):
        values = (getattr(recipe, field.name) for recipe in RECIPES.values())
        shown = (f"{value:,}" if isinstance(value, int) else f"{value:g}" for value in values)
        rows.append([field.name.replace("_", " "), *shown])
    return "\n".join(f"{row[0]:<13}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows)
