"""The reference evaluator: one ordinary forward pass per pattern, with dropped units bypassed.

It is slow and simple on purpose: faster evaluators are tested against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch

from evop_deap.base.errors import not_pickled
from evop_deap.fitness.model.compensator import Compensator, written_by
from evop_deap.fitness.model.kept_states import KeptStates
from evop_deap.fitness.model.logit_losses import divergence_sums, window_sums
from evop_deap.fitness.model.material import check_fitness
from evop_deap.fitness.model.option_likelihoods import losses_of_answers
from evop_deap.fitness.model.window_kinds import (
    Part,
    dense_work,
    plain_tokens,
    predicted_tokens,
    taken,
)
from evop_deap.fitness.protocol import Evaluation, Work
from evop_deap.models.anatomy.devices import device_of
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.space import Pattern, dropped_units
from evop_deap.text.questions import Questions

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy.parts import Anatomy

_LOGITS_BYTES = 256 * 2**20


class ReferenceEvaluator:
    """Evaluates patterns by the model's own forward pass.

    Args:
        model: the dense model, in evaluation mode; unchanged after every call.
        anatomy: its blocks or halves, from `find_anatomy`.
        tokens: (windows, length) token ids to predict, without padding; `Questions` for "answers".
        fitness: "ce", cross-entropy; "answers"; or "kl", divergence from the dense model, which
            is then run again for every pattern.
        compensator: compensates every pattern; by default the weights stay as they are.
        on_evaluated: called after each pattern.

    Example:
        >>> import torch
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> from evop_deap.models.anatomy.find_anatomy import find_anatomy
        >>> model = LlamaForCausalLM(LlamaConfig(
        ...     vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=3,
        ...     num_attention_heads=2)).eval()
        >>> windows = np.arange(40).reshape(2, 20)
        >>> evaluator = ReferenceEvaluator(model, find_anatomy(model), windows)
        >>> evaluator.evaluate([(1, 1, 1), (1, 0, 1)]).sums.shape
        (2, 2)
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        tokens: Part,
        *,
        fitness: str = "ce",
        compensator: Compensator | None = None,
        on_evaluated: Callable[[], object] | None = None,
    ) -> None:
        check_fitness(fitness, tokens)
        self._divergence = fitness == "kl"
        self._model = model
        self._compensator = compensator
        self._anatomy = anatomy
        self._units = model_units(anatomy)
        self._windows = tokens
        self._on_evaluated = on_evaluated
        self.kept = KeptStates(capacity=0)

    name = "ReferenceEvaluator"
    preparation_cost = 0.0
    """There is no cost before the first pattern."""

    batches = None
    """The last batch of a call may be smaller, so the bits of a sum depend on the call."""

    alone = None
    """Its losses are never shared."""

    arithmetic = "plain"

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        """Evaluate each pattern on all windows, or on some by index."""
        some = self._windows if windows is None else taken(self._windows, windows)
        sums = np.empty((len(patterns), len(some)))
        for row, pattern in enumerate(patterns):
            sums[row] = self._sums(pattern, some)
            if self._on_evaluated is not None:
                self._on_evaluated()
        read = plain_tokens(some)
        share = read * self._anatomy.dense_work / dense_work(self._windows, self._anatomy)
        costs = np.array([share * self._cost(pattern) for pattern in patterns])
        runs = len(patterns) * (2 if self._divergence else 1)
        blocks = sum(map(sum, patterns))
        if self._divergence:
            costs += share
            blocks += len(patterns) * len(self._units)
        return Evaluation(
            sums=sums,
            tokens=predicted_tokens(some),
            costs=costs,
            work=Work(blocks * read, runs * read, executed=float(costs.sum())),
        )

    def __getstate__(self) -> NoReturn:
        raise not_pickled(self, "a model")

    def _sums(self, pattern: Pattern, windows: Part) -> NDArray[np.float64]:
        if isinstance(windows, Questions):
            return self._answer_losses(pattern, windows)
        tokens = torch.as_tensor(windows, device=device_of(self._model))
        at_once = self._windows_at_once(tokens.shape[1])
        with torch.inference_mode():
            sums = [self._batch_sums(pattern, batch) for batch in tokens.split(at_once)]
        array: NDArray[np.float64] = torch.cat(sums).numpy()
        return array

    def _answer_losses(self, pattern: Pattern, questions: Questions) -> NDArray[np.float64]:
        dropped = bypassed(self._anatomy, dropped_units(pattern))
        with written_by(self._compensator, pattern), dropped:
            return losses_of_answers(self._model, questions)

    def _batch_sums(self, pattern: Pattern, batch: torch.Tensor) -> torch.Tensor:
        dropped = bypassed(self._anatomy, dropped_units(pattern))
        with written_by(self._compensator, pattern), dropped:
            logits = self._model(input_ids=batch, use_cache=False).logits
        if not self._divergence:
            return window_sums(logits, batch)
        return divergence_sums(logits, self._model(input_ids=batch, use_cache=False).logits)

    def _cost(self, pattern: Pattern) -> float:
        """Work of the pruned model relative to the dense model's, head included."""
        dropped = sum(self._units[unit].work for unit in dropped_units(pattern))
        dense = self._anatomy.dense_work
        return (dense - dropped) / dense

    def _windows_at_once(self, length: int) -> int:
        """Number of windows whose float32 logits fit a fixed size; the same on any machine."""
        vocabulary: int = self._model.config.get_text_config(decoder=True).vocab_size
        return max(1, _LOGITS_BYTES // (4 * length * vocabulary))
