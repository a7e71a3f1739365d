"""Removal of documents that repeat evaluation data, found by shared runs of words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_file
from evop_deap.base.user_paths import existing_path
from evop_deap.text.documents import Corpus, make_corpus
from evop_deap.text.readers import read_texts

WORDS = 13
"""Words in a row that two texts do not share by chance (Brown et al. 2020, arXiv 2005.14165)."""

_FEWEST = 5  # shorter texts, such as "Yes.", occur everywhere
# Thai, kana and Chinese have no spaces between words: each of their letters counts as one.
_LETTERS = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_LETTERS}]|[^\W{_LETTERS}]+")


@dataclass(frozen=True)
class Refusal:
    """A document that is left out.

    Attributes:
        document: its id.
        file: name of the evaluation file that it repeats.
        words: the first run of words that both share.
    """

    document: str
    file: str
    words: str


def without_repeats(
    corpus: Corpus, files: Sequence[str]
) -> tuple[Corpus, list[Refusal], list[dict[str, Any]]]:
    """Leave out the documents that share 13 consecutive words with one of the files.

    Case and punctuation are ignored. A document of 5 to 12 words is left out if a file contains
    all of it; a shorter one never is.

    Args:
        corpus: the documents to check.
        files: texts or tables of evaluation data; every string in a table is compared.

    Returns:
        The rest of the corpus, the refusals, and each file's name and SHA-256.

    Raises:
        InputError: a file cannot be read, or no document is left.
    """
    check_evaluation_files(files)
    found: dict[str, Refusal] = {}
    about: list[dict[str, Any]] = []
    documents = {document.id: _words(document.text) for document in corpus.documents}
    lengths = {min(WORDS, len(words)) for words in documents.values() if len(words) >= _FEWEST}
    for name in files:
        path = Path(name).expanduser()
        seen: set[str] = set()
        for text in read_texts(path):
            words = _words(text)
            for length in lengths:
                seen.update(_runs(words, length))
        for document, words in documents.items():
            length = min(WORDS, len(words))
            shared = next((run for run in _runs(words, length) if run in seen), None)
            if length >= _FEWEST and shared is not None:
                found.setdefault(document, Refusal(document, path.name, shared))
        about.append({"name": path.name, "sha256": sha256_of_file(path)})
    if not found:
        return corpus, [], about
    if len(found) == len(corpus.documents):
        raise InputError(
            f"`check_against`: every document of {corpus.name} repeats evaluation data: "
            "give another corpus"
        )
    rest = make_corpus(corpus.name, (d for d in corpus.documents if d.id not in found))
    rest = replace(rest, skipped=corpus.skipped, is_cut=corpus.is_cut)
    return rest, list(found.values()), about


def check_evaluation_files(files: Sequence[str]) -> None:
    """Check that all names are files, without reading them.

    Raises:
        InputError: one is not.
    """
    for name in files:
        path = existing_path(name, "check_against")
        if path is None or not path.is_file():
            raise InputError(f"`check_against` must name files, but {name} is not a file")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _runs(words: Sequence[str], length: int) -> Iterator[str]:
    """Yield every run of `length` words; none if there are fewer words."""
    return (" ".join(words[i : i + length]) for i in range(len(words) - length + 1))
