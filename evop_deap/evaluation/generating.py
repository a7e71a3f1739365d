"""Greedy generation with transformers' `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.models.loading.plain_generation import only_given_settings
from evop_deap.models.loading.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import LogitsProcessor, PreTrainedModel


def continue_greedily(
    model: PreTrainedModel,
    prompts: torch.Tensor,
    new_tokens: int,
    *,
    may_end: bool,
    ends: Sequence[int] = (),
    watcher: LogitsProcessor | None = None,
) -> torch.Tensor:
    """Continue prompts of equal length greedily, whatever the checkpoint's generation settings are.

    Args:
        model: in evaluation mode.
        prompts: (rows, length) token ids on the model's device.
        new_tokens: largest number of tokens to add.
        may_end: whether a row may end at an end token; it is then padded with 0.
        ends: more tokens that end a row which may end.
        watcher: called with the logits of each step before the token is chosen.

    Returns:
        (rows, at most `new_tokens`) token ids.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    ending = [*end_tokens(model), *ends] if may_end else []
    greedy = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=new_tokens,
        min_new_tokens=None if may_end else new_tokens,
        use_cache=True,
        eos_token_id=ending or None,
        pad_token_id=0,
    )
    generator: Any = model
    with quiet_transformers(), only_given_settings(model), torch.inference_mode():
        text: torch.Tensor = generator.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            generation_config=greedy,
            logits_processor=LogitsProcessorList([watcher] if watcher else []),
        )
    return text[:, prompts.shape[1] :]


def end_tokens(model: PreTrainedModel) -> list[int]:
    """Return the end tokens in the model's generation settings."""
    settings: Any = model.generation_config or model.config
    ending = getattr(settings, "eos_token_id", None)
    if ending is None:
        return []
    return [ending] if isinstance(ending, int) else [*ending]
