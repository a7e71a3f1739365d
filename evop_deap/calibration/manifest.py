"""The manifest of a calibration set: plain JSON from which it can be built again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evop_deap.base.files import sha256_of_text
from evop_deap.base.versions import version_of
from evop_deap.calibration.map_places import places_of
from evop_deap.text.documents import Corpus, Document
from evop_deap.text.tokens import tokenizer_fingerprint
from evop_deap.text.window_set import WindowSet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from evop_deap.calibration.ccds import Stratification
    from evop_deap.calibration.strata import StratifiedWindows

_VERSIONED = ("evop_deap", "transformers", "tokenizers", "datasets", "numpy")


def describe_strata(
    manifest: dict[str, Any], found: Stratification, drawn: StratifiedWindows
) -> None:
    """Add the clusters to a manifest, and the cluster of each document and window."""
    clusters = {
        document.id: label
        for document, label in zip(found.documents, found.labels.tolist(), strict=True)
    }
    for entry in manifest["calibration"]["documents"]:
        entry["cluster"] = clusters[entry["id"]]
    manifest["calibration"]["clusters"] = drawn.labels.tolist()
    described = [
        {**entry, "windows": int((drawn.labels == entry["cluster"]).sum())}
        for entry in found.about["clusters"]
    ]
    manifest["clustering"] = {
        **found.about,
        "clusters": described,
        "map": places_of(found, drawn).as_dict(),
    }


def describe_set(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    parts: Mapping[str, WindowSet | None],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a manifest of the corpus, the settings, the tokenizer and the parts that exist."""
    documents = {document.id: document for document in corpus.documents}
    return {
        "corpus": {
            "name": corpus.name,
            "fingerprint": corpus.fingerprint,
            "documents": len(corpus.documents),
            "skipped": list(corpus.skipped),
        },
        **settings,
        "tokenizer": {
            "class": type(tokenizer).__name__,
            "size": len(tokenizer),
            "fingerprint": tokenizer_fingerprint(tokenizer),
        },
        **{
            name: describe_windows(windows, documents)
            for name, windows in parts.items()
            if windows is not None
        },
        "versions": versions(),
    }


def describe_windows(windows: WindowSet, documents: Mapping[str, Document]) -> dict[str, Any]:
    """Return the manifest of one part, from which its windows can be built again.

    Args:
        windows: the part.
        documents: by id, at least those in the windows.
    """
    used: dict[str, list[int]] = {}
    for index, stretches in enumerate(windows.stretches):
        for stretch in stretches:
            indices = used.setdefault(stretch.document, [])
            if index not in indices:
                indices.append(index)
    return {
        "fingerprint": windows.fingerprint,
        "prefix": list(windows.prefix),
        "documents": [
            {"id": name, "sha256": sha256_of_text(documents[name].text), "windows": indices}
            for name, indices in used.items()
        ],
        "windows": [
            [
                {"document": stretch.document, "start": stretch.start, "tokens": stretch.tokens}
                for stretch in stretches
            ]
            for stretches in windows.stretches
        ],
    }


def versions() -> dict[str, str | None]:
    """Return the versions of the packages that determine a calibration set."""
    return {name: version_of(name) for name in _VERSIONED}
