"""Documents and the corpus they make up: what every way of reading text ends in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_text

_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Document:
    """A text that stays together: it is wholly calibration or wholly held out.

    Attributes:
        id: names the document within its corpus, such as `"wiki.txt#12"`.
        text: its characters, lines ended by `"\\n"`.
    """

    id: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """Distinct, non-empty documents in a fixed order.

    Attributes:
        name: what the user called it, without the folder it lies in.
        documents: at least one.
        fingerprint: SHA-256 over the texts in order; ids and name do not count.
    """

    name: str
    documents: tuple[Document, ...]
    fingerprint: str


def make_corpus(
    name: str, documents: Iterable[Document], *, max_documents: int | None = None
) -> Corpus:
    """Drop blank and repeated texts, so that no text can stand on both sides of a split.

    Texts that differ only in line ends or in surrounding white space are repeats.

    Args:
        name: goes into messages and the manifest.
        documents: read lazily, and no further than needed.
        max_documents: how many distinct documents to keep, the first ones.

    Raises:
        InputError: nothing is left.
    """
    kept = tuple(islice(_distinct(documents), max_documents))
    if not kept:
        raise InputError(f"`corpus` {name} holds no text")
    hashes = "".join(sha256_of_text(document.text) for document in kept)
    return Corpus(name, kept, hashlib.sha256(hashes.encode()).hexdigest())


def _distinct(documents: Iterable[Document]) -> Iterable[Document]:
    seen: set[str] = set()
    for document in documents:
        text = normalised(document.text)
        key = sha256_of_text(text.strip())
        if text.strip() and key not in seen:
            seen.add(key)
            yield Document(document.id, text)


def normalised(text: str) -> str:
    """The text with lines ended by `"\\n"` and without a byte order mark."""
    return text.removeprefix(_BYTE_ORDER_MARK).replace("\r\n", "\n").replace("\r", "\n")
