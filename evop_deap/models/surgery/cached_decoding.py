"""A check that a pruned model generates with a cache what it predicts without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import one_line
from evop_deap.models.anatomy.probe import run_forward
from evop_deap.models.loading.precision import computing_in_float32
from evop_deap.models.loading.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def cache_fault(model: PreTrainedModel, pruned: PreTrainedModel, ids: torch.Tensor) -> str | None:
    """Return what fails when `pruned` decodes with a cache and works in `model`; else None.

    Some models count cached tokens in one particular layer, or in the first layer of a kind.
    Without this layer they still predict, but they generate nonsense or fail.
    """
    for decode in (_generate, _decode):
        fault = _decoding_fault(pruned, ids, decode)
        if fault is not None and _decoding_fault(model, ids, decode) is None:
            return fault
    return None


_Decoder = Callable[["PreTrainedModel", torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""(model, prompt) -> text and the logits of its continuation, computed with a cache."""


def _generate(model: PreTrainedModel, prompt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Continue greedily with `generate`, which prepares masks and positions."""
    from transformers import GenerationConfig

    greedy = GenerationConfig(
        do_sample=False,
        max_new_tokens=prompt.shape[1],
        use_cache=True,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    generator: Any = model
    with quiet_transformers():
        text = generator.generate(
            prompt, attention_mask=torch.ones_like(prompt), generation_config=greedy
        )
    return text.sequences, torch.stack(text.logits, dim=1)


def _decode(model: PreTrainedModel, prompt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Continue greedily by plain calls, in which the model infers positions from its cache."""
    text, token, cache, steps = prompt, prompt, None, []
    for _ in range(prompt.shape[1]):
        output = model(input_ids=token, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        steps.append(output.logits[:, -1])
        token = steps[-1].argmax(-1, keepdim=True)
        text = torch.cat([text, token], dim=1)
    return text, torch.stack(steps, dim=1)


def _decoding_fault(model: PreTrainedModel, ids: torch.Tensor, decode: _Decoder) -> str | None:
    """Return why decoding with a cache differs from one pass over the same text; else None.

    It continues the first half of `ids`, (rows, tokens), in float32 whatever the model's dtype is.
    A pruned model may amplify a rounding error of bfloat16 to the size of its logits, which would
    look like a fault of the cache or hide one.
    """
    prompt = ids[:, : ids.shape[1] // 2]
    with computing_in_float32(model):
        try:
            with torch.no_grad():
                text, step_by_step = decode(model, prompt)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            return f"cannot generate with a cache: {one_line(error)}"
        at_once = run_forward(model, text)[:, prompt.shape[1] - 1 : -1].float()
    difference = float((step_by_step.float() - at_once).abs().max())
    # Wide, because a cache sums in another order; a real fault is as large as the logits.
    allowed = 1e-2 * float(at_once.abs().max())
    if difference <= allowed:
        return None
    return (
        f"does not predict with a cache what it predicts without: logits differ by"
        f" {difference:.3g}, allowed is {allowed:.3g}"
    )
