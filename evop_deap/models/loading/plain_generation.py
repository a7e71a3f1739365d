"""Generation by a call's own settings alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def only_given_settings(model: PreTrainedModel) -> Iterator[None]:
    """Inside this context, `generate` takes no setting of the checkpoint.

    What a call leaves open, transformers takes from the checkpoint's `generation_config`: biases,
    forced and suppressed tokens, limits of time, or `stop_strings`, for which it wants a
    tokenizer. Two models would not be measured alike.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own
