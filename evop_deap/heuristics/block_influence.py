"""ShortGPT's block influence (Men et al. 2024, arXiv 2403.03853): drop what changes least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.models.probe import first_tensor, hidden_input
from evop_deap.space import Pattern, SearchSpace

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evop_deap.models.anatomy import Anatomy


def block_influence(
    model: PreTrainedModel, anatomy: Anatomy, tokens: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How much each block turns its hidden state: 1 - E[cos(x_in, x_out)] (eq. 1).

    Args:
        model: the dense model.
        anatomy: its blocks.
        tokens: (windows, length) token ids.

    Returns:
        (blocks,) influences; the mean is over all tokens of all windows.
    """
    cosines: list[list[torch.Tensor]] = [[] for _ in anatomy.blocks]

    def watch(index: int) -> Any:
        def hook(
            module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
        ) -> None:
            before, after = hidden_input(args, kwargs), first_tensor(output)
            assert before is not None
            assert after is not None
            cosine = torch.cosine_similarity(before.float(), after.float(), dim=-1)
            cosines[index].append(cosine.double().mean())

        return hook

    handles = [
        block.module.register_forward_hook(watch(block.index), with_kwargs=True)
        for block in anatomy.blocks
    ]
    try:
        with torch.inference_mode():
            for window in torch.as_tensor(tokens, device=model.device):
                model(input_ids=window.unsqueeze(0), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return np.array([1.0 - float(torch.stack(values).mean()) for values in cosines])


def least_influential(influences: NDArray[np.float64], space: SearchSpace) -> Pattern:
    """The pattern that drops the droppable blocks of least influence; of equals the first."""
    order = sorted(space.droppable, key=lambda index: influences[index])
    return space.pattern(order[: space.n_drop])
