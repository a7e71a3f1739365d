"""Documents and corpora: the result of every way of reading text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_text
from evop_deap.base.formatting import counted

_BYTE_ORDER_MARK = "\ufeff"
_NAMED = 5


@dataclass(frozen=True)
class Document:
    """A text that is never split between calibration and held-out data.

    Attributes:
        id: its name within the corpus, such as `"wiki.txt#12"`.
        text: its characters; lines end in `"\\n"`.
    """

    id: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """Distinct, non-empty documents in a fixed order.

    Attributes:
        name: the user's name for it, without its folder.
        documents: at least one.
        fingerprint: SHA-256 over the texts in order, without ids and name.
        skipped: files of its folder that were not read, as paths in it.
        is_cut: whether its source has more documents.
    """

    name: str
    documents: tuple[Document, ...]
    fingerprint: str
    skipped: tuple[str, ...] = ()
    is_cut: bool = False

    @property
    def left_out(self) -> str:
        """What was not read, in words, with at most five files by name; "" if all was read."""
        said = []
        if self.skipped:
            more = f" and {len(self.skipped) - _NAMED} more" if len(self.skipped) > _NAMED else ""
            said.append(f"skipped {', '.join(self.skipped[:_NAMED])}{more}")
        if self.is_cut:
            said.append(f"only the first {counted(len(self.documents), 'document')} are read")
        return "; ".join(said)


def make_corpus(
    name: str, documents: Iterable[Document], *, max_documents: int | None = None
) -> Corpus:
    """Return a corpus without blank or repeated texts, so that no text is on two sides of a split.

    Texts that differ only in line ends or in surrounding white space count as repeated.

    Args:
        name: for messages and the manifest.
        documents: read lazily, and no further than needed.
        max_documents: the number of distinct documents to keep, from the start; one more is read.

    Raises:
        InputError: no document is left.
    """
    distinct = iter(_distinct(documents))
    kept = tuple(islice(distinct, max_documents))
    if not kept:
        raise InputError(f"`corpus` {name} holds no text")
    hashes = "".join(sha256_of_text(document.text) for document in kept)
    is_cut = next(distinct, None) is not None
    return Corpus(name, kept, hashlib.sha256(hashes.encode()).hexdigest(), is_cut=is_cut)


def _distinct(documents: Iterable[Document]) -> Iterable[Document]:
    seen: set[str] = set()
    for document in documents:
        text = normalised(document.text)
        key = sha256_of_text(text.strip())
        if text.strip() and key not in seen:
            seen.add(key)
            yield Document(document.id, text)


def normalised(text: str) -> str:
    """Return the text with `"\\n"` as line end and without a byte order mark."""
    return text.removeprefix(_BYTE_ORDER_MARK).replace("\r\n", "\n").replace("\r", "\n")
