"""The words that distinguish a cluster from the others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[^\W\d_][\w'-]+")
_CHARACTERS = 4_000  # of a document, enough to show its subject


def characteristic_words(groups: Sequence[Sequence[str]], count: int = 8) -> list[list[str]]:
    """Return the words of largest class-based TF-IDF (Grootendorst 2022, arXiv 2203.05794).

    The weight is BERTopic's variant that reduces frequent words: the square root of a word's
    share of its group, times BM25's log(1 + (A - f + 1/2) / (f + 1/2)). Here f is the word's
    count in all groups, and A the mean number of words in a group.

    Args:
        groups: the texts of each group.
        count: largest number of words for a group.

    Example:
        >>> characteristic_words([["the red apples"], ["the grey stones"]], count=2)
        [['apples', 'red'], ['grey', 'stones']]
    """
    counted = [_counts(texts) for texts in groups]
    everywhere = sum(counted, Counter[str]())
    average = everywhere.total() / max(1, len(groups))
    rarities = {
        word: math.log(1 + max(0.0, average - times + 0.5) / (times + 0.5))
        for word, times in everywhere.items()
    }
    best = []
    for counts in counted:
        total = max(1, counts.total())
        weights = {word: math.sqrt(n / total) * rarities[word] for word, n in counts.items()}
        best.append(sorted(weights, key=lambda word: (-weights[word], word))[:count])
    return best


def sample_line(text: str, characters: int = 100) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text[: 4 * characters].split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


def _counts(texts: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word.lower() for word in _WORD.findall(text[:_CHARACTERS]))
    return counts
