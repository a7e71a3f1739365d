"""From what the user names to a corpus: a file, a folder, a preset of the hub, or `demo`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.text.demo_corpus import demo_documents
from evop_deap.text.documents import Corpus, Document, make_corpus
from evop_deap.text.hub_corpora import PRESETS, preset_documents
from evop_deap.text.readers import quiet_datasets, read_documents, readable_files

MAX_DOCUMENTS = 100_000


def load_corpus(
    source: str, *, text_column: str | None = None, max_documents: int = MAX_DOCUMENTS
) -> Corpus:
    """Read a corpus.

    Rows without text and repeated texts are dropped. A row's own `id` names its document where
    it is a string that no row before it had; the others are named after their file and row.

    Args:
        source: a text, jsonl, json, csv, tsv or parquet file, packed with gzip or not; a folder
            of them (read recursively, in the order of their paths); `wikitext2`, `c4` or
            `fineweb-edu` from the hub; or `demo`, text that every Python installation carries.
            A file called like one of these is read when written as `./c4`.
        text_column: the column that holds the text; None takes `text`, or the only column of
            strings. Texts have no columns and ignore it.
        max_documents: how many documents to keep, the first ones; presets that are streamed
            stop at a few thousand.

    Raises:
        InputError: there is no such source, it cannot be read, or it holds no text.
    """
    if max_documents < 1:
        raise InputError(f"`max_documents` must be at least 1, but got {max_documents}")
    if source == "demo":
        return make_corpus("demo", demo_documents(), max_documents=max_documents)
    if source in PRESETS:
        limit = min(max_documents, PRESETS[source].documents)
        with quiet_datasets():
            return make_corpus(source, preset_documents(source), max_documents=limit)
    path, files = _local_files(source)
    with quiet_datasets():
        documents = _local_documents(path, files, text_column)
        return make_corpus(path.resolve().name, documents, max_documents=max_documents)


def check_corpus(source: str) -> None:
    """Find the files of a corpus and read none, for those to whom reading comes late.

    Raises:
        InputError: there is no such source, or a folder without files that can be read.
    """
    if source not in (*PRESETS, "demo"):
        _local_files(source)


def _local_files(source: str) -> tuple[Path, list[Path]]:
    """Where `source` is, and the files that it is made of."""
    path = Path(source).expanduser()
    if not source or not _exists(path):
        known = ", ".join([*PRESETS, "demo"])
        raise InputError(
            f"`corpus` must be a file, a folder, or one of {known}, but got {source!r}"
        )
    return path, readable_files(path) if path.is_dir() else [path]


def _local_documents(
    path: Path, files: Sequence[Path], text_column: str | None
) -> Iterator[Document]:
    used_ids: set[str] = set()
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        yield from read_documents(file, name=name, text_column=text_column, used_ids=used_ids)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or not a name at all
        return False
