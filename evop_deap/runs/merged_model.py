"""Judging a pruned model that no pattern of the dense one describes, because blocks are merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.runs.stages.prepare import Subject
from evop_deap.space import Pattern, dropped_units

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel


def judge_merged(
    subject: Subject, merged: PreTrainedModel, pattern: Pattern, fitness: str
) -> Evaluation:
    """The merged model on all calibration windows, as an evaluator judges the pattern.

    Args:
        subject: what was pruned.
        merged: the second model.
        pattern: which units it lacks.
        fitness: "ce" or "kl".
    """
    windows, weights = subject.text.calibration.tokens, subject.text.weights
    sums = sums_of(merged, windows, dense=subject.loaded.model if fitness == "kl" else None)
    sums = weighted(sums, weights)
    anatomy, units = subject.anatomy, subject.space.units
    dense_work = sum(unit.work for unit in units) + anatomy.head_work
    share = 1.0 - sum(units[unit].work for unit in dropped_units(pattern)) / dense_work
    blocks, twice = len(anatomy.blocks), fitness == "kl"
    kept = merged.config.get_text_config(decoder=True).num_hidden_layers
    return Evaluation(
        sums=sums[None],
        tokens=np.full(len(windows), windows.shape[1] - 1, dtype=np.int64),
        costs=np.array([share + twice]),
        work=Work(windows.size * (kept + twice * blocks), windows.size * (1 + twice)),
    )


def sums_of(
    model: PreTrainedModel, windows: NDArray[np.int64], *, dense: PreTrainedModel | None = None
) -> NDArray[np.float64]:
    """(windows,) sums over predicted tokens, of the divergence from `dense` where it is given."""
    import torch

    from evop_deap.fitness.model.logit_losses import divergence_sums, window_sums

    found = []
    with torch.inference_mode():
        for window in torch.as_tensor(windows, device=model.device).split(1):
            logits = model(input_ids=window, use_cache=False).logits
            if dense is None:
                found.append(window_sums(logits, window))
            else:
                beside = dense(input_ids=window, use_cache=False).logits
                found.append(divergence_sums(logits, beside))
    sums: NDArray[np.float64] = torch.cat(found).numpy()
    return sums


def weighted(sums: NDArray[np.float64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Sums of windows that count as their weights say."""
    return sums if weights is None else sums * weights * (len(weights) / weights.sum())
