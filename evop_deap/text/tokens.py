"""Token ids of texts, special tokens before a text, and the identity of a tokenizer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Tokens: TypeAlias = NDArray[np.int64]


def tokenised(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], *, add_special_tokens: bool = False
) -> list[Tokens]:
    """Return the token ids of each text, never truncated."""
    encoded: Any = tokenizer(
        texts,
        add_special_tokens=add_special_tokens,
        padding=False,
        truncation=False,
        return_attention_mask=False,
        verbose=False,  # no warning about long texts: windows are cut from them later
    )
    return [np.array(ids, dtype=np.int64) for ids in encoded["input_ids"]]


def special_prefix(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the special tokens that the tokenizer puts before every text; () for many."""
    bare = tokenised(tokenizer, ["a"])[0].tolist()
    full = tokenised(tokenizer, ["a"], add_special_tokens=True)[0].tolist()
    for start in range(len(full) - len(bare) + 1):
        if bare and full[start : start + len(bare)] == bare:
            return tuple(full[:start])
    return ()


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 of the vocabulary; tokenizers with equal ones can share windows."""
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: (item[1], item[0]))
    return hashlib.sha256(repr(words).encode("utf-8", "surrogatepass")).hexdigest()
