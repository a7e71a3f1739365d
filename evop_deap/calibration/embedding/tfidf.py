"""TF-IDF with an SVD: an embedding that needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DIMENSIONS = 64
_MOST_WORDS = 20_000


class TfidfEncoder:
    """An encoder: TF-IDF over words, reduced by a truncated singular value decomposition.

    A text's vector depends on the other texts, so none is cached.

    Example:
        >>> vectors = TfidfEncoder().encode(["a red apple", "a green apple", "two stones fall"])
        >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
        True
    """

    name = "tfidf"
    fingerprint = None

    def encode(self, texts: Sequence[str]) -> Any:
        """Return one vector for each text: (texts, at most 64)."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        # Any run of letters is a word, and other signs count too, for texts without words.
        counting = TfidfVectorizer(
            sublinear_tf=True,
            max_features=_MOST_WORDS,
            min_df=2 if len(texts) >= 100 else 1,
            token_pattern=r"(?u)\w+|[^\w\s]",
        )
        try:
            counts = counting.fit_transform(texts)
        except ValueError:  # no two texts share a word: compare runs of letters
            counting.set_params(analyzer="char_wb", ngram_range=(2, 4))
            counts = counting.fit_transform(texts)
        if min(counts.shape) <= DIMENSIONS:
            return counts.toarray().astype(np.float32)
        return TruncatedSVD(DIMENSIONS, random_state=0).fit_transform(counts)
