"""Loading of a corpus from a file, a folder, a preset of the hub, or `demo`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.base.user_paths import existing_path
from evop_deap.base.user_text import shown
from evop_deap.text.demo_corpus import demo_documents
from evop_deap.text.documents import Corpus, Document, make_corpus
from evop_deap.text.hub_corpora import PRESETS, preset_documents
from evop_deap.text.readers import quiet_datasets, read_documents, readable_files

MAX_DOCUMENTS = 100_000


def load_corpus(
    source: str, *, text_column: str | None = None, max_documents: int = MAX_DOCUMENTS
) -> Corpus:
    """Read a corpus.

    Rows without text and repeated texts are dropped. A document takes its row's `id` if that is a
    string that no earlier row had; otherwise it is named after its file and row.

    Args:
        source: a text, jsonl, json, csv, tsv or parquet file, packed with gzip or not; a folder
            of them (read recursively, in the order of their paths); `wikitext2`, `c4` or
            `fineweb-edu` from the hub; or `demo`, text that every Python installation carries.
            A file with one of these names is read if given as a path, such as `./c4`.
        text_column: the column that holds the text; None takes `text`, or the only column of
            strings. Plain text files ignore it.
        max_documents: the number of documents to keep, from the start; presets that are
            streamed stop at a few thousand.

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
    """Check that the files of a corpus exist, without reading them.

    Raises:
        InputError: there is no such source, or the folder holds no files that can be read.
    """
    if source not in (*PRESETS, "demo"):
        _local_files(source)


def _local_files(source: str) -> tuple[Path, list[Path]]:
    """Return the path of `source` and the files in it."""
    path = existing_path(source, "corpus")
    if path is None:
        known = ", ".join([*PRESETS, "demo"])
        raise InputError(
            f"`corpus` must be a file, a folder, or one of {known}, but got {shown(source)}"
        )
    return path, readable_files(path) if path.is_dir() else [path]


def _local_documents(
    path: Path, files: Sequence[Path], text_column: str | None
) -> Iterator[Document]:
    used_ids: set[str] = set()
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        yield from read_documents(file, name=name, text_column=text_column, used_ids=used_ids)
