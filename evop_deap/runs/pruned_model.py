"""The pruned model in memory, and its loss on windows of text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.fitness.weighted import scaled
from evop_deap.runs.context import Context
from evop_deap.space import Pattern, dropped_units
from evop_deap.text.questions import Questions

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.fitness.model.window_kinds import Windows
    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.recovery.compensation.changed_weights import Changes


@dataclass(frozen=True, eq=False)
class PrunedModel:
    """A model and the units to leave out of it.

    Attributes:
        model: the dense model, or one with changed weights.
        anatomy: the parts of `model`.
        dropped: positions of the units to leave out.
        changed: whether kept weights differ from the dense model's; a pattern then does not
            describe the pruned model.
        changes: new values of weights of `model`, which have them while they are `written`.
    """

    model: PreTrainedModel
    anatomy: Anatomy
    dropped: tuple[int, ...]
    changed: bool = False
    changes: Changes = field(default_factory=dict)


def of_pattern(context: Context, pattern: Pattern) -> PrunedModel:
    """Return the dense model without the units that a pattern drops."""
    return PrunedModel(context.loaded.model, context.anatomy, dropped_units(pattern))


def changed_model(model: PreTrainedModel) -> PrunedModel:
    """Return a model with changed weights and no units left to drop."""
    from evop_deap.models.anatomy.find_anatomy import find_anatomy

    return PrunedModel(model, find_anatomy(model), (), changed=True)


def evaluate_changed(context: Context, pruned: PrunedModel, pattern: Pattern) -> Evaluation:
    """Evaluate a changed model on all calibration windows, like an evaluator does a pattern.

    Args:
        context: the run.
        pruned: the model.
        pattern: the units of the dense model that it lacks.
    """
    from evop_deap.fitness.model.window_kinds import predicted_tokens

    windows, divergence = context.searched.calibration.tokens, context.config.fitness == "kl"
    own = (
        _divergences_of(pruned, context.loaded.model, context.text.calibration.tokens)
        if divergence
        else window_sums_of(pruned, windows)
    )
    sums = scaled(own, context.searched.weights)
    units = context.space.units
    whole = sum(unit.work for unit in units) + context.anatomy.head_work
    share = 1.0 - sum(units[unit].work for unit in dropped_units(pattern)) / whole
    blocks = len(context.anatomy.blocks)
    kept = len(pruned.anatomy.blocks)
    return Evaluation(
        sums=sums[None],
        tokens=predicted_tokens(windows),
        costs=np.array([share + divergence]),
        work=Work(
            windows.size * (kept + divergence * blocks),
            windows.size * (1 + divergence),
            executed=share + divergence,
        ),
    )


def loss_of_changes(
    model: PreTrainedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    changes: Changes,
    windows: NDArray[np.int64],
    memory_budget: int | None = None,
) -> float:
    """Return the loss without dropped units and with changed weights, in nats a token."""
    pruned = PrunedModel(model, anatomy, tuple(dropped), bool(changes), changes)
    sums = window_sums_of(pruned, windows, memory_budget)
    return float(sums.sum() / (len(windows) * (windows.shape[1] - 1)))


def window_sums_of(
    pruned: PrunedModel, windows: Windows, memory_budget: int | None = None
) -> NDArray[np.float64]:
    """Return the (windows,) sums of cross-entropy in nats, or the losses of questions.

    Args:
        pruned: the model.
        windows: the text or the questions.
        memory_budget: largest size of hidden states in bytes; None for that of `Evaluators`.
    """
    from evop_deap.fitness.model.evaluators import Evaluators
    from evop_deap.recovery.compensation.changed_weights import written

    gone = set(pruned.dropped)
    pattern = tuple(int(part not in gone) for part in range(len(pruned.anatomy.parts)))
    fitness = "answers" if isinstance(windows, Questions) else "ce"
    evaluators = Evaluators(pruned.model, pruned.anatomy, fitness)
    options: dict[str, Any] = {} if memory_budget is None else {"memory_budget": memory_budget}
    with written(pruned.changes):
        found = evaluators.evaluate(windows, [pattern], **options)
    sums: NDArray[np.float64] = found.sums[0]
    return sums


def _divergences_of(
    pruned: PrunedModel, dense: PreTrainedModel, windows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the (windows,) sums of the divergence from the dense model in nats."""
    import torch

    from evop_deap.fitness.model.logit_losses import divergence_sums

    found = []
    with torch.inference_mode():
        for window in torch.as_tensor(windows, device=dense.device).split(1):
            logits, beside = (
                model(input_ids=window, use_cache=False).logits for model in (pruned.model, dense)
            )
            found.append(divergence_sums(logits, beside))
    sums: NDArray[np.float64] = torch.cat(found).numpy()
    return sums
