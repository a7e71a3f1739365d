"""The calibration set: what a search looks at, what it is judged on, and a record of both."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evop_deap.calibration.documents import Corpus, Document
from evop_deap.calibration.sampling import Sampler, in_order, random_order, split_documents
from evop_deap.calibration.windows import WindowSet, check_window, pack_windows
from evop_deap.errors import InputError
from evop_deap.files import sha256_of_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HELDOUT_SHARE = 0.25

_VERSIONED = ("evop_deap", "transformers", "tokenizers", "datasets", "numpy")

# Every draw has a stream of its own, so that asking for more held-out text, say, leaves the
# calibration windows as they are.
_SPLIT, _CALIBRATION_ORDER, _CALIBRATION_CUTS, _HELDOUT_ORDER, _HELDOUT_CUTS = range(5)


@dataclass(frozen=True, eq=False)
class CalibrationSet:
    """Windows from documents that no window of the other part is from.

    Attributes:
        calibration: what patterns are judged by during the search.
        heldout: what the result is reported on; a uniform sample whatever the strategy.
        manifest: plain JSON that names the corpus, the strategy, every document and window.
    """

    calibration: WindowSet
    heldout: WindowSet
    manifest: dict[str, Any]


def build_calibration(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    tokens: int,
    heldout_tokens: int,
    seed: int,
    sampler: Sampler = random_order,
    strategy: str = "random",
    context: int | None = None,
    heldout_share: float = HELDOUT_SHARE,
) -> CalibrationSet:
    """Split the corpus by document, order the documents, and pack both parts into windows.

    Args:
        corpus: what to draw from.
        tokenizer: the model's tokenizer.
        window: tokens a window.
        tokens: calibration tokens; a multiple of `window`, or what is over is left out.
        heldout_tokens: held-out tokens, likewise.
        seed: at least 0; the same seed gives the same set.
        sampler: orders the calibration documents.
        strategy: what the manifest calls the sampler.
        context: the most tokens the model reads; None where it has no bound.
        heldout_share: share of the documents that is held out.

    Raises:
        InputError: an argument is out of range, or the corpus is too small for it.
    """
    check_window(window, context)
    if seed < 0:
        raise InputError(f"`seed` must be at least 0, but got {seed}")

    def stream(draw: int) -> np.random.Generator:
        return np.random.default_rng([seed, draw])

    to_calibrate, to_hold_out = split_documents(corpus.documents, heldout_share, stream(_SPLIT))
    calibration = pack_windows(
        in_order(to_calibrate, sampler, stream(_CALIBRATION_ORDER)),
        tokenizer,
        window=window,
        tokens=tokens,
        rng=stream(_CALIBRATION_CUTS),
    )
    heldout = pack_windows(
        in_order(to_hold_out, random_order, stream(_HELDOUT_ORDER)),
        tokenizer,
        window=window,
        tokens=heldout_tokens,
        rng=stream(_HELDOUT_CUTS),
        budget_name="heldout_tokens",
    )
    texts = {document.id: document for document in corpus.documents}
    manifest = {
        "corpus": {
            "name": corpus.name,
            "fingerprint": corpus.fingerprint,
            "documents": len(corpus.documents),
        },
        "strategy": strategy,
        "seed": seed,
        "window": window,
        "tokens": tokens,
        "heldout_tokens": heldout_tokens,
        "heldout_share": heldout_share,
        "tokenizer": {"class": type(tokenizer).__name__, "size": len(tokenizer)},
        "calibration": describe_windows(calibration, texts),
        "heldout": describe_windows(heldout, texts),
        "versions": {name: _version(name) for name in _VERSIONED},
    }
    return CalibrationSet(calibration, heldout, manifest)


def describe_windows(windows: WindowSet, documents: Mapping[str, Document]) -> dict[str, Any]:
    """What a manifest says of one part: enough to build its windows again from the corpus.

    Args:
        windows: the part.
        documents: by id, at least those that the windows are from.
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


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
