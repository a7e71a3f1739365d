"""Whole texts for the evaluation of a model, in their original order."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_text
from evop_deap.base.user_paths import existing_path
from evop_deap.text.corpus import load_corpus
from evop_deap.text.documents import Corpus, normalised
from evop_deap.text.file_types import is_table
from evop_deap.text.hub_corpora import hub_rows
from evop_deap.text.readers import (
    choose_text_column,
    quiet_datasets,
    read_rows,
    read_whole_text,
    text_in,
)

WIKITEXT = "wikitext2"
_WIKITEXT_FILE = re.compile(r"wiki\.(train|valid|test)\.raw")
_DOMAIN = "domain"
_BETWEEN = "\n\n"


@dataclass(frozen=True)
class EvaluationText:
    """A text, or one text for each domain.

    Attributes:
        name: the user's name for it, without its folder.
        parts: text by domain; a text without domains has the key "".
        protocol: how rows or documents were joined, in words.

    Example:
        >>> text = EvaluationText("two.jsonl", {"law": "Article 1", "code": "x = 1"}, "joined")
        >>> sorted(text.parts), text.fingerprint[:8]
        (['code', 'law'], '8df8e042')
    """

    name: str
    parts: Mapping[str, str]
    protocol: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 over domains and texts."""
        return sha256_of_text("\0".join(f"{k}\0{v}" for k, v in self.parts.items()))


def read_text(source: str, *, text_column: str | None = None) -> EvaluationText:
    """Read a text for evaluation.

    WikiText-2 is read the usual way, from the hub (`wikitext2`, its test split) or from one of
    its own files (`wiki.test.raw`): blank rows become empty, the others keep their line end, and
    all are joined by a blank line. Any other text file is read unchanged. All distinct documents
    of any other source of `load_corpus` are joined by a blank line; a table with a column `domain`
    gives one text for each domain, of its distinct documents with their own line ends.

    Args:
        source: a file, a folder, `wikitext2`, or another source of `load_corpus`.
        text_column: column of a table that holds the text.

    Raises:
        InputError: there is no such source, or it cannot be read or holds no text.
    """
    try:
        return _read(source, text_column)
    except InputError as error:  # of a reader of corpora
        raise InputError(str(error).replace("`corpus`", "`perplexity`", 1)) from error


def _read(source: str, text_column: str | None) -> EvaluationText:
    path = existing_path(source, "perplexity")
    if source == WIKITEXT:
        with quiet_datasets():
            text = _BETWEEN.join(hub_rows(WIKITEXT, "test"))
        return EvaluationText("wikitext2, test", {"": text}, "WikiText rows joined by blank lines")
    if path is None or not path.is_file():
        corpus = _corpus(source, text_column)
        joined = _BETWEEN.join(document.text for document in corpus.documents)
        how = filter(None, ["distinct documents joined by blank lines", corpus.left_out])
        return EvaluationText(Path(source).name or source, {"": joined}, "; ".join(how))
    with quiet_datasets():
        if is_table(path):
            return _from_table(path, text_column)
        text = read_whole_text(path)
    protocol = "as it stands"
    if _WIKITEXT_FILE.fullmatch(path.name):
        text, protocol = join_wikitext(text), "WikiText rows joined by blank lines"
    if not text.strip():
        raise InputError(f"`perplexity` {source} holds no text")
    return EvaluationText(path.name, {"": text}, protocol)


def join_wikitext(raw: str) -> str:
    r"""Return the text of a WikiText file with its rows joined in the usual way.

    Example:
        >>> join_wikitext(" \n = Title = \n \n Some words . \n")
        '\n\n = Title = \n\n\n\n\n Some words . \n'
    """
    rows = re.findall(r"[^\n]*\n|[^\n]+", raw)  # `splitlines` would split at other characters, too
    return _BETWEEN.join(row if row.strip() else "" for row in rows)


def _from_table(path: Path, text_column: str | None) -> EvaluationText:
    rows = list(read_rows(path))
    if not any(map(_domain_of, rows)):
        joined = _BETWEEN.join(d.text for d in _corpus(str(path), text_column).documents)
        return EvaluationText(path.name, {"": joined}, "distinct documents joined by blank lines")
    column = choose_text_column(rows, text_column, path)
    # Of each domain, texts by what counts as a repeat; the first of them is kept, as it stands.
    texts: dict[str, dict[str, str]] = {}
    for index, row in enumerate(rows):
        text = text_in(row, column, index, path) or ""
        if key := normalised(text).strip():
            texts.setdefault(_domain_of(row) or "none", {}).setdefault(key, text)
    if not texts:
        raise InputError(f"`perplexity` {path} holds no text")
    parts = {domain: _BETWEEN.join(texts[domain].values()) for domain in sorted(texts)}
    return EvaluationText(path.name, parts, "distinct documents of a domain joined by blank lines")


def _domain_of(row: Mapping[str, Any]) -> str:
    """Return the domain of a row, which may be a number; "" without one."""
    domain = row.get(_DOMAIN)
    return "" if domain is None else str(domain)


def _corpus(source: str, text_column: str | None) -> Corpus:
    return load_corpus(source, text_column=text_column, max_documents=sys.maxsize)
