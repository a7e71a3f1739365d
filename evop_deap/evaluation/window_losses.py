"""The loss of a finished model on windows of text, without full logits where possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.fitness.model.blocked_loss import blocked_losses
from evop_deap.fitness.model.logit_losses import window_sums
from evop_deap.fitness.model.tiles import tile_for
from evop_deap.models.anatomy.exit import find_exit
from evop_deap.models.anatomy.find_anatomy import find_anatomy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TOKENS_TOGETHER = 4096

_Scorer = Callable[[torch.Tensor], torch.Tensor]
"""(windows, length) token ids -> (windows,) float64 sums of nats, on the host."""


def window_losses(
    model: PreTrainedModel,
    windows: NDArray[np.int64],
    *,
    given: int = 1,
    on_windows: Callable[[int], object] | None = None,
) -> NDArray[np.float64]:
    """Return the mean negative log-likelihood of each window's tokens after its first `given`.

    Where the head is a plain matrix, a few windows run together and logits are computed in tiles.
    Any other model computes its full logits, one window at a time.

    Args:
        model: in evaluation mode.
        windows: (windows, length) token ids without padding.
        given: number of first tokens in a window that are not predicted, at least 1.
        on_windows: called with the number of windows just evaluated.

    Returns:
        (windows,) nats per predicted token.
    """
    score, together = _scorer(model, windows.shape[1], given)
    tokens = torch.as_tensor(windows)
    sums = []
    with torch.inference_mode():
        for batch in tokens.split(together):
            sums.append(score(batch.to(model.device)))
            if on_windows is not None:
                on_windows(len(batch))
    losses: NDArray[np.float64] = (torch.cat(sums) / (windows.shape[1] - given)).numpy()
    return losses


def _scorer(model: PreTrainedModel, length: int, given: int) -> tuple[_Scorer, int]:
    """Return a function that scores windows of this model, and its batch size."""
    try:
        anatomy = find_anatomy(model)
        leaving = find_exit(model, anatomy)
    except UnsupportedModelError:
        return partial(_of_whole_logits, model, given), 1
    tile = tile_for(leaving.weight.device)

    def score(batch: torch.Tensor) -> torch.Tensor:
        features = _head_input(model, anatomy.head, batch)[:, given - 1 :]
        place = leaving.weight.device
        losses = blocked_losses(features.to(place), batch[:, given - 1 :].to(place), leaving, tile)
        return losses.cpu().double().sum(dim=1)

    return score, max(1, _TOKENS_TOGETHER // length)


def _of_whole_logits(model: PreTrainedModel, given: int, batch: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=batch, use_cache=False).logits
    return window_sums(logits[:, given - 1 :], batch[:, given - 1 :])


def _head_input(model: PreTrainedModel, head: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Return the head's input, (windows, length, width), without running the head."""
    with _stopping_before(head) as reached:
        model(input_ids=batch, use_cache=False)
    return reached[0]


@contextmanager
def _stopping_before(head: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """Stop a forward pass in the body before the head, and yield a list with its input."""
    reached: list[torch.Tensor] = []

    def stop(module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        reached.append(args[0])
        raise _HeadReached

    handle = head.register_forward_pre_hook(stop)
    try:
        yield reached
    except _HeadReached:
        pass
    finally:
        handle.remove()


class _HeadReached(Exception):
    """Stops a forward pass before the head."""
