"""Loading of a corpus from a file, a folder, a preset of the hub, or `demo`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from evop_deap.base.errors import InputError
from evop_deap.base.user_paths import existing_path
from evop_deap.base.user_text import shown
from evop_deap.text.demo_corpus import demo_documents
from evop_deap.text.documents import Corpus, Document, make_corpus
from evop_deap.text.file_types import folder_files
from evop_deap.text.hub_corpora import PRESETS, preset_documents
from evop_deap.text.readers import documents_of, quiet_datasets, read_documents
from evop_deap.text.saved_datasets import is_saved_dataset, saved_rows

MAX_DOCUMENTS = 100_000


def load_corpus(
    source: str, *, text_column: str | None = None, max_documents: int = MAX_DOCUMENTS
) -> Corpus:
    """Read a corpus.

    Rows without text and repeated texts are dropped. A document takes its row's `id` if that is a
    string that no earlier row had; otherwise it is named after its file and row.

    Args:
        source: a text, jsonl, json, csv, tsv or parquet file, packed (.gz, .bz2, .xz, .zst) or
            not; a folder of them (read recursively, in the order of their paths), or one that
            `save_to_disk` of `datasets` has written; `wikitext2`, `c4` or `fineweb-edu` from the
            hub; or `demo`, text that every Python installation carries.
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
    path = _local_path(source)
    name = path.resolve().name
    with quiet_datasets():
        if is_saved_dataset(path):
            rows, ids = saved_rows(path), set[str]()
            found = documents_of(rows, path, name=name, text_column=text_column, used_ids=ids)
            return make_corpus(name, found, max_documents=max_documents)
        files, skipped = _local_files(path)
        documents = _local_documents(path, files, text_column)
        corpus = make_corpus(name, documents, max_documents=max_documents)
    return replace(corpus, skipped=tuple(one.relative_to(path).as_posix() for one in skipped))


def check_corpus(source: str) -> None:
    """Check that the files of a corpus exist, without reading them.

    Raises:
        InputError: there is no such source, or the folder holds no files that can be read.
    """
    if source not in (*PRESETS, "demo"):
        path = _local_path(source)
        if not is_saved_dataset(path):
            _local_files(path)


def _local_path(source: str) -> Path:
    """Return the path of a source that is neither a preset nor the demo text."""
    path = existing_path(source, "corpus")
    if path is None:
        known = ", ".join([*PRESETS, "demo"])
        raise InputError(
            f"`corpus` must be a file, a folder, or one of {known}, but got {shown(source)}"
        )
    return path


def _local_files(path: Path) -> tuple[Sequence[Path], Sequence[Path]]:
    """Return the files to read in a folder, and those that are skipped; or the file itself."""
    if not path.is_dir():
        return [path], []
    found = folder_files(path)
    return found.readable, found.skipped


def _local_documents(
    path: Path, files: Sequence[Path], text_column: str | None
) -> Iterator[Document]:
    used_ids: set[str] = set()
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        yield from read_documents(file, name=name, text_column=text_column, used_ids=used_ids)
