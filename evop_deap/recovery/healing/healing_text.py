"""The text of a training after pruning: training, validation and held-out windows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_text
from evop_deap.base.formatting import counted
from evop_deap.calibration.sampling import in_order, random_order, split_documents
from evop_deap.text.documents import Corpus, Document
from evop_deap.text.window_set import WindowSet
from evop_deap.text.windows import spare_windows, windows_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VALIDATION_TOKENS = 8192
HELDOUT_TOKENS = 8192

_ASIDE = 0.25  # share of the documents that are not trained on
_DOCUMENTS = 8  # of which two are not trained on: one to validate on, and one to report on


@dataclass(frozen=True, eq=False)
class HealingText:
    """Windows of one corpus; no document is in two parts.

    Attributes:
        corpus: name of the corpus.
        training: windows to train on.
        validation: windows that decide when to stop and which weights to keep.
        heldout: windows that are only reported on.
    """

    corpus: str
    training: WindowSet
    validation: WindowSet
    heldout: WindowSet


def draw_text(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    tokens: int,
    seed: int,
    reported: Collection[str] = (),
) -> HealingText:
    """Split a corpus by document, and pack each part into windows.

    Args:
        corpus: source of all documents.
        tokenizer: the model's tokenizer.
        window: tokens in a window.
        tokens: training tokens; fewer if the corpus does not fill them.
        seed: at least 0; the same seed gives the same windows.
        reported: SHA-256 of documents that an earlier result was reported on. They are held out;
            without any in the corpus, others are.

    Raises:
        InputError: the corpus fills no window of one of the parts.
    """

    def too_little(part: str) -> InputError:
        return InputError(
            f"`corpus` {corpus.name} has {counted(len(corpus.documents), 'document')}, and those "
            f"for {part} do not fill one `window` of {window} tokens: give at least {_DOCUMENTS} "
            f"documents with about {_DOCUMENTS * window:,} tokens, or a smaller --window"
        )

    def stream(draw: int) -> np.random.Generator:
        return np.random.default_rng([seed, draw])

    most = windows_in(tokens, window, "tokens")
    known = [d for d in corpus.documents if sha256_of_text(d.text) in reported]
    names = {document.id for document in known}
    others = [document for document in corpus.documents if document.id not in names]
    if len(others) < 2:
        raise too_little("training and validation")
    to_train, aside = split_documents(others, _ASIDE, stream(0))
    aside = in_order(aside, random_order, stream(1))
    heldout, validation = (known, aside) if known else (aside[::2], aside[1::2])

    def pack(part: str, documents: Sequence[Document], most: int, draw: int) -> WindowSet:
        rng = stream(draw)
        found = spare_windows(documents, tokenizer, window=window, most=most, rng=rng)
        if found is None:
            raise too_little(part)
        return found

    return HealingText(
        corpus.name,
        pack("training", in_order(to_train, random_order, stream(2)), most, 3),
        pack("validation", validation, max(VALIDATION_TOKENS // window, 1), 4),
        pack("the report", heldout, max(HELDOUT_TOKENS // window, 1), 5),
    )
