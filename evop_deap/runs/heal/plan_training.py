"""The plan of a training after pruning, and what must not change before it is resumed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.recovery.healing.recipes import RECIPES
from evop_deap.runs.heal.heal_folder import HealFolder
from evop_deap.runs.heal.heal_source import HealSource
from evop_deap.runs.heal.machine_choices import MachineChoices
from evop_deap.runs.heal.taught_text import TaughtText
from evop_deap.settings.healing_config import HealingConfig

if TYPE_CHECKING:
    from evop_deap.models.loading.load_model import LoadedModel
    from evop_deap.recovery.healing.training import TrainingPlan


@dataclass(frozen=True)
class Planned:
    """A planned training.

    Attributes:
        plan: what the training does.
        full: whether all weights are trained, not adapters.
        parameters: number of weights of the model.
        identity: the values that must match to resume.
    """

    plan: TrainingPlan
    full: bool
    parameters: int
    identity: dict[str, Any]


def plan_training(
    config: HealingConfig,
    source: HealSource,
    loaded: LoadedModel,
    taught: TaughtText,
    folder: HealFolder,
) -> Planned:
    """Plan a training by its settings, its text and the machine.

    Raises:
        CheckpointError: the unfinished training in `folder` cannot be read.
    """
    from evop_deap.recovery.healing.training import TrainingPlan

    recipe = RECIPES[config.recipe]
    parameters = sum(p.numel() for p in loaded.model.parameters())
    windows, window = taught.windows["training"].shape
    step_windows = max(1, min(recipe.step_tokens // window, windows))
    asked = False if config.keep_adapter else config.full
    machine = folder.machine_choices() or MachineChoices.measured(
        loaded.model.device,
        full=asked,
        parameters=parameters,
        step_windows=step_windows,
        window=window,
        vocabulary=loaded.model.config.get_text_config(decoder=True).vocab_size,
    )
    full = machine.full if asked is None else asked
    steps = min(config.max_steps or windows, max(1, windows // step_windows))
    plan = TrainingPlan(
        loss=config.loss,
        steps=steps,
        step_windows=step_windows,
        pass_windows=machine.pass_windows,
        rate=config.learning_rate or (recipe.full_rate if full else recipe.adapter_rate),
        every=math.ceil(steps / recipe.validations),
        patience=recipe.patience,
        narrow=machine.narrow,
        seed=config.seed,
        max_seconds=config.max_seconds,
    )
    identity = {
        "source": _weights_of(source.checkpoint),
        "dense model": taught.teacher,
        "text": [taught.text.training.fingerprint, taught.text.validation.fingerprint],
        "adapters": None if full else recipe.rank,
        "generated": config.generate,
        **{f"version of {name}": version(name) for name in ("torch", "transformers")},
        **{n: v for n, v in dataclasses.asdict(plan).items() if n != "max_seconds"},
        "machine": dataclasses.asdict(machine),
    }
    return Planned(plan, full, parameters, identity)


def _weights_of(checkpoint: Path) -> str:
    """Return a hash of the names and contents of the weights in a folder."""
    from evop_deap.base.files import sha256_of_file, sha256_of_text
    from evop_deap.models.loading.memory_needs import weights_in

    files = weights_in(checkpoint)
    return sha256_of_text(" ".join(f"{file.name} {sha256_of_file(file)}" for file in files))
