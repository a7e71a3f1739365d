"""The demo corpus: several kinds of text, the same each time, quickly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from evop_deap.calibration import Document, load_corpus
from evop_deap.text import demo_corpus
from evop_deap.text.demo_corpus import demo_documents, shortened


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return demo_documents()


def test_the_demo_corpus_holds_four_kinds_of_text_in_balance(documents) -> None:
    kinds = Counter(document.id.split("/")[0] for document in documents)
    assert set(kinds) == {"reference", "docstring", "source", "licence"}
    assert all(kinds[kind] >= 40 for kind in ("reference", "docstring", "source"))
    assert max(kinds.values()) < 0.6 * sum(kinds.values())
    characters = sum(len(document.text) for document in documents)
    assert 400_000 < characters < 1_600_000


def test_demo_documents_are_distinct_bounded_and_named(documents) -> None:
    corpus = load_corpus("demo")
    assert corpus.name == "demo"
    assert len({document.id for document in documents}) == len(documents)
    assert len(corpus.documents) > 0.95 * len(documents)
    assert all(100 < len(document.text) <= 6_000 for document in corpus.documents)
    named = {document.id: document.text for document in documents}
    assert "iterable" in named["reference/for"]
    assert "ArgumentParser" in named["docstring/argparse"]
    assert named["source/heapq.merge"].startswith("def merge(")


def test_no_module_gives_both_its_docstrings_and_its_source(documents) -> None:
    names = [document.id.split("/")[1] for document in documents]
    with_docstrings = {
        name
        for document, name in zip(documents, names, strict=True)
        if document.id.startswith("docstring/")
    }
    with_source = {
        name.rpartition(".")[0]
        for document, name in zip(documents, names, strict=True)
        if document.id.startswith("source/")
    }
    assert not with_docstrings & with_source


@pytest.mark.slow
def test_the_demo_corpus_is_the_same_in_another_process() -> None:
    program = (
        "import sys; from evop_deap.calibration import load_corpus;"
        "print(load_corpus('demo').fingerprint);"
        "assert not {'turtle', 'tkinter', 'torch', 'datasets'} & set(sys.modules)"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert prints == {load_corpus("demo").fingerprint}


def test_a_long_text_is_cut_between_paragraphs() -> None:
    paragraph = "word " * 100
    text = "\n\n".join([paragraph] * 40)
    cut = shortened(text)
    assert 3_000 <= len(cut) <= 6_000
    assert text.startswith(cut)
    assert cut.endswith("word")
    assert {part.strip() for part in cut.split("\n\n")} == {paragraph.strip()}
    assert len(shortened("x" * 10_000)) == 6_000
    assert shortened("short") == "short"


def test_kept_demo_documents_are_those_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path))
    monkeypatch.setattr(demo_corpus, "_DOCSTRING_MODULES", ("contextlib",))
    monkeypatch.setattr(demo_corpus, "_SOURCE_MODULES", ("heapq", "glob"))
    monkeypatch.setattr(demo_corpus, "_PACKAGES", ("deap",))
    made = demo_documents()
    (path,) = (tmp_path / "corpora").iterdir()
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(demo_corpus, "_docstrings", lambda: pytest.fail("it was made again"))
        assert demo_documents() == made
    path.write_bytes(whole[: len(whole) // 2])
    assert demo_documents() == made
    assert path.read_bytes() == whole
    monkeypatch.setattr(demo_corpus, "_SOURCE_MODULES", ("heapq",))
    assert 0 < len(demo_documents()) < len(made)
