"""A check that a pruned model generates with a cache what it predicts without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import one_line
from evop_deap.models.anatomy.probe import embedding_table, run_forward
from evop_deap.models.loading.plain_generation import only_given_settings
from evop_deap.models.loading.precision import computing_in_float32
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.models.streaming.light_twin import light_twin

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_TEXTS, _FEW, _SEED = 8, 2, 20250
_FLOOR = 1e-2  # of the largest logit: a cache sums in another order, which rounding explains
_TIMES = 4.0  # differences as large as the dense model's are no fault; these are clearly larger


def cache_texts(model: PreTrainedModel, tokens: int) -> torch.Tensor:
    """Return fixed texts of random token ids, within the model's context: (texts, tokens)."""
    text = model.config.get_text_config(decoder=True)
    length = min(tokens, getattr(text, "max_position_embeddings", None) or tokens)
    table = embedding_table(model)
    generator = torch.Generator().manual_seed(_SEED)
    return torch.randint(table.shape[0], (_TEXTS, length), generator=generator).to(table.device)


def cache_fault(
    model: PreTrainedModel, pruned: PreTrainedModel, ids: torch.Tensor, *, at_once: bool = False
) -> str | None:
    """Return what fails when `pruned` decodes with a cache and works in `model`; else None.

    Some models count cached tokens in one particular layer, or in the first layer of a kind.
    Without this layer they still predict, but they generate nonsense or fail.

    Half of the texts must differ: in a mixture of experts, a token of one text may lie so near the
    threshold between two experts that rounding decides, in the dense model as well. The dense
    model's own differences on the same texts are the measure. Texts on which its logits are not
    finite say nothing. Two texts are enough where neither differs.

    Of streamed models, twins are compared that hold the weights of a few blocks in memory.

    Args:
        model: the dense model.
        pruned: the model to check.
        ids: (texts, tokens) token ids; both models continue the first half of each text.
        at_once: whether speed matters more than memory; see `computing_in_float32`.
    """
    pruned = light_twin(pruned)
    for decode in (_generate, _decode):
        found = _differences(pruned, ids[:_FEW], decode, at_once)
        if not isinstance(found, str) and found.max() <= _FLOOR:
            continue
        found = _differences(pruned, ids, decode, at_once)
        if not isinstance(found, str) and found.median() <= _FLOOR:
            continue
        dense = _differences(light_twin(model), ids, decode, at_once)
        if isinstance(dense, str) or not dense.isfinite().any():
            continue
        if isinstance(found, str):
            return found
        found, dense = found[dense.isfinite()], dense[dense.isfinite()]
        allowed = max(_FLOOR, _TIMES * float(dense.median()))
        # In this form, a difference of NaN is a fault.
        if not float(found.median()) <= allowed:
            return (
                "does not predict with a cache what it predicts without: on half of "
                f"{len(found)} texts logits differ by {float(found.median()):.3g} of the largest "
                f"or more, allowed is {allowed:.3g}"
            )
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
    with quiet_transformers(), only_given_settings(model):
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


def _differences(
    model: PreTrainedModel, ids: torch.Tensor, decode: _Decoder, at_once: bool
) -> torch.Tensor | str:
    """Return how far decoding with a cache differs from one pass over the same text.

    It continues the first half of `ids`, (texts, tokens), in float32 whatever the model's dtype
    is. A pruned model may amplify a rounding error of bfloat16 to the size of its logits, which
    would look like a fault of the cache or hide one.

    Returns:
        (texts,) largest differences of the logits, as shares of the text's largest logit; or why
        the model cannot decode.
    """
    prompt = ids[:, : ids.shape[1] // 2]
    with computing_in_float32(model, at_once=at_once):
        try:
            with torch.no_grad():
                text, step_by_step = decode(model, prompt)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            return f"cannot generate with a cache: {one_line(error)}"
        in_one_pass = run_forward(model, text)[:, prompt.shape[1] - 1 : -1].float()
    apart = (step_by_step.float() - in_one_pass).abs().flatten(1).amax(1)
    return (apart / in_one_pass.abs().flatten(1).amax(1)).cpu()
