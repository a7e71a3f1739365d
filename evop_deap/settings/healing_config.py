"""The settings of a training after pruning, as a frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass

from evop_deap.base.errors import InputError
from evop_deap.recovery.healing.recipes import RECIPES
from evop_deap.settings.model_options import (
    MODEL,
    remote_code_option,
)
from evop_deap.settings.options import REQUIRED, Settings, option

TEXT = "text"
TRAINING = "training"

LOSSES = ("kl", "ce", "mix")


@dataclass(frozen=True, kw_only=True)
class HealingConfig(Settings):
    """The settings of a training after pruning; see `python -m evop_deap.heal --help`.

    Raises:
        InputError: a value has the wrong type or is out of bounds.
    """

    source: str = option(REQUIRED, MODEL, "folder of a finished run, or a pruned checkpoint")
    base: str | None = option(
        None,
        MODEL,
        "the dense model: hub id, checkpoint folder, GGUF file or demo (default: the model that "
        "the run or the model card names)",
        metavar="DENSE",
    )
    device: str = option("auto", MODEL, "one device: auto, cpu, cuda, cuda:1, mps, ...")
    trust_remote_code: bool = remote_code_option()

    corpus: str | None = option(
        None,
        TEXT,
        "text to train on, as in evop_deap.search (default: the corpus of the run)",
    )
    text_column: str | None = option(
        None, TEXT, "column with the text (default: text, or the only column)", metavar="NAME"
    )
    generate: bool = option(
        False, TEXT, "train on what the dense model writes after beginnings from the corpus"
    )

    recipe: str = option("fast", TRAINING, "named defaults, listed below", choices=tuple(RECIPES))
    tokens: int | None = option(
        None, TRAINING, "tokens to train on (default: by the recipe)", metavar="N", least=2
    )
    window: int | None = option(
        None, TRAINING, "tokens in a window (default: by the recipe)", metavar="N", least=2
    )
    loss: str = option(
        "kl",
        TRAINING,
        "divergence from the dense model, cross-entropy of the text, or the mean of both",
        choices=LOSSES,
    )
    full: bool | None = option(
        None,
        TRAINING,
        "train all weights; --no-full trains adapters (LoRA) of the kept layers, which takes "
        "peft (default: all weights if they fit in memory)",
    )
    learning_rate: float | None = option(
        None, TRAINING, "highest learning rate (default: by the recipe)", metavar="X", above=0
    )
    max_steps: int | None = option(
        None, TRAINING, "stop after N optimiser steps", metavar="N", least=1
    )
    max_seconds: float | None = option(
        None, TRAINING, "stop training after so many seconds", metavar="S", above=0
    )
    keep_adapter: bool = option(
        False, TRAINING, "keep the adapters in DIR/adapter as well, for peft"
    )
    seed: int = option(0, TRAINING, "seed of everything random", metavar="N", least=0)

    def __post_init__(self) -> None:
        """Refuse several devices."""
        super().__post_init__()
        if "," in self.device:
            raise InputError(
                f"`device` must name one device to train on, but got '{self.device}': name one"
            )
