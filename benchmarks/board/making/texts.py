"""The calibration and held-out texts of the board, without common documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common.domains import domains_of
from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_text
from evop_deap.calibration import CalibrationSet, build_calibration, load_corpus
from evop_deap.text.documents import Corpus, Document, make_corpus
from evop_deap.text.whole_texts import EvaluationText

if TYPE_CHECKING:
    from evop_deap.models.loading.load_model import LoadedModel

DEMO = "demo"
_DECIDING = ("calibration", "validation", "compensation")
"""The parts of a calibration set that decide what is dropped, or what is left."""


def check_share(share: float | None) -> None:
    """Check the share of the documents that is kept for the exam; None keeps none.

    Raises:
        InputError: it is not between 0 and 1.
    """
    if share is not None and not 0.0 < share < 1.0:
        raise InputError(f"`exam_share` must be between 0 and 1, but got {share}")


def is_exam(text: str, share: float) -> bool:
    """Return whether a document is in the exam, which its text alone decides.

    So the exam is the same for every draw of calibration text, every model and every corpus.
    """
    return int(sha256_of_text(text)[:8], 16) < share * 2**32


def without_exam(corpus: Corpus, share: float | None) -> Corpus:
    """Return the documents that may be calibrated on.

    Raises:
        InputError: none is left.
    """
    if share is None:
        return corpus
    rest = (document for document in corpus.documents if not is_exam(document.text, share))
    return make_corpus(corpus.name, rest)


def joined_corpus(sources: Sequence[str]) -> Corpus:
    """Return all documents as one corpus; with several sources, ids begin with the source's name.

    Raises:
        InputError: a source cannot be read.
    """
    found = [load_corpus(source) for source in sources]
    if len(found) == 1:
        return found[0]
    documents = (Document(f"{one.name}/{d.id}", d.text) for one in found for d in one.documents)
    return make_corpus(" + ".join(one.name for one in found), documents)


def calibration_of(
    corpus: Corpus,
    loaded: LoadedModel,
    *,
    window: int,
    tokens: int,
    seed: int,
    compensation_tokens: int = 0,
) -> CalibrationSet:
    """Return the calibration set that all methods use.

    Raises:
        InputError: the corpus is too small, or the window is too long for the model.
    """
    return build_calibration(
        corpus,
        loaded.tokenizer,
        window=window,
        tokens=tokens,
        heldout_tokens=window,  # the board has held-out text of its own
        seed=seed,
        compensation_tokens=compensation_tokens,
        context=loaded.context,
    )


def heldout_text(
    source: str, calibration: CalibrationSet, share: float | None = None
) -> EvaluationText:
    """Return the documents of `source` that decide nothing before the exam, by domain.

    These are all but those to calibrate on, to validate by and to compensate with. With a share,
    they are those that are kept for the exam.

    The domain is the column `domain` of JSON lines, or the first part of the ids of the demo
    corpus; any other source is a single domain.

    Raises:
        InputError: the source cannot be read, or no document is left.
    """
    parts = (calibration.manifest.get(part) for part in _DECIDING)
    used = {entry["sha256"] for part in parts if part for entry in part["documents"]}
    try:
        corpus = load_corpus(source)
        domains = dict(_domains(source, corpus))
    except InputError as error:
        raise InputError(str(error).replace("`corpus`", "`heldout`", 1)) from error
    texts: dict[str, list[str]] = {}
    for document in corpus.documents:
        if sha256_of_text(document.text) in used:
            continue
        if share is None or is_exam(document.text, share):
            texts.setdefault(domains[document.id], []).append(document.text)
    if not texts:
        raise InputError(f"`heldout` {source} has no document that was not calibrated on")
    return EvaluationText(
        corpus.name,
        {domain: "\n\n".join(texts[domain]) for domain in sorted(texts)},
        f"{_which(share)}, those of a domain joined by blank lines",
    )


def _which(share: float | None) -> str:
    if share is None:
        return "documents that were not calibrated on"
    return f"documents kept for the exam, a share of {share:g}"


def _domains(source: str, corpus: Corpus) -> Iterator[tuple[str, str]]:
    """The domain of each document, by its id."""
    known = domains_of(source) if Path(source).suffix == ".jsonl" else {}
    for document in corpus.documents:
        kind = document.id.partition("/")[0] if source == DEMO else corpus.name
        yield document.id, known.get(document.id, kind)
