"""The model to prune as an encoder: its hidden states after the middle block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from evop_deap.calibration.embedding.batches import encode_batched
from evop_deap.calibration.embedding.sentence import (
    MAX_TOKENS,
    encoder_fingerprint,
    first_tokens,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from evop_deap.calibration.embedding.encoder import Vectors
    from evop_deap.models.anatomy.parts import Anatomy


class MiddleStates:
    """An encoder: the mean direction of a text's hidden states after the middle block.

    Args:
        model: a causal language model, in evaluation mode.
        anatomy: its blocks.
        tokenizer: the model's tokenizer.
        max_tokens: number of tokens that are read of a text.
        on_encoded: called with the number of texts in each batch.
    """

    name = "model"

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_tokens: int = MAX_TOKENS,
        on_encoded: Callable[[int], object] | None = None,
    ) -> None:
        self._model = model
        self._anatomy = anatomy
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._on_encoded = on_encoded
        self._depth = max(1, len(anatomy.blocks) // 2)

    @property
    def fingerprint(self) -> str:
        """Hash of weights, vocabulary, depth, length, device and PyTorch version."""
        manner = f"directions behind block {self._depth} of {self._max_tokens}"
        return encoder_fingerprint(self._model, self._tokenizer, manner)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors: (texts, width)."""
        ids = first_tokens(self._tokenizer, texts, self._max_tokens, add_special_tokens=False)
        return encode_batched(ids, self._forward, padding=0, on_encoded=self._on_encoded)

    def _forward(self, tokens: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        import torch

        from evop_deap.models.anatomy.entrance import enter

        device = self._model.device
        with torch.inference_mode():
            # Tokens do not attend to later ones, so padding on the right changes nothing.
            entrance = enter(self._model, self._anatomy, torch.as_tensor(tokens, device=device))
            hidden = entrance.hidden
            blocks = self._anatomy.blocks[: self._depth]
            for call, block in zip(entrance.calls, blocks, strict=False):
                hidden = call(block, hidden)  # (rows, length, width)
            # The first token's state often has a hundred times the norm of any other, whatever
            # the text is, so only directions are averaged.
            directions = torch.nn.functional.normalize(hidden.float(), dim=-1)
            weights = torch.as_tensor(mask, device=hidden.device).unsqueeze(-1)
            means = (directions * weights).sum(dim=1) / weights.sum(dim=1)
            vectors: Vectors = torch.nn.functional.normalize(means, dim=-1).cpu().numpy()
        return vectors
