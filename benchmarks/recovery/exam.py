"""Text to compensate on, and held-out text by domain to report on; no document is in both."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.count_flag import count_flag, seed_flag
from benchmarks.common.domains import domains_of
from evop_deap.base.errors import InputError
from evop_deap.calibration import load_corpus
from evop_deap.text.documents import Document
from evop_deap.text.windows import spare_windows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from evop_deap.models.anatomy.parts import Anatomy
    from evop_deap.models.loading.load_model import LoadedModel
    from evop_deap.recovery.compensation.changed_weights import Changes

_HELD_OUT = 0.25


@dataclass(frozen=True, eq=False)
class Exam:
    """Windows of token ids.

    Attributes:
        fit: (windows, window) windows to compensate on, in random order.
        domains: (windows, window) held-out windows of each domain.
    """

    fit: NDArray[np.int64]
    domains: dict[str, NDArray[np.int64]]

    def losses(
        self, loaded: LoadedModel, anatomy: Anatomy, dropped: Collection[int], changes: Changes
    ) -> dict[str, float]:
        """Return the loss of a pruned, changed model on each domain, in nats per token."""
        from evop_deap.runs.pruned_model import loss_of_changes

        return {
            name: loss_of_changes(loaded.model, anatomy, dropped, changes, windows)
            for name, windows in self.domains.items()
        }


def set_exam(
    corpus: str,
    others: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    fit_tokens: int,
    domain_tokens: int,
    seed: int,
) -> Exam:
    """Deal the documents of a mixed corpus, a quarter of them to the exam.

    Args:
        corpus: JSON lines with `id`, `domain` and `text`.
        others: more texts, each a domain of the exam.
        tokenizer: the model's tokenizer.
        window: tokens in a window.
        fit_tokens: tokens to compensate on.
        domain_tokens: tokens of the exam in each domain.
        seed: at least 0.

    Raises:
        InputError: a text cannot be read, or is too small.
    """
    domains = domains_of(corpus)
    documents = load_corpus(corpus).documents
    dealt = [documents[i] for i in np.random.default_rng([seed, 0]).permutation(len(documents))]
    held = int(_HELD_OUT * len(dealt))
    of: dict[str, list[Document]] = {}
    for document in dealt[:held]:
        of.setdefault(domains[document.id], []).append(document)
    mixed, named = f"`corpus` {corpus}", {}
    for other in others:
        name = other.rsplit("/", 1)[-1]
        of[name], named[name] = _documents(other), f"`others` {other}"

    def windows(
        source: str, chosen: Sequence[Document], tokens: int, stream: int
    ) -> NDArray[np.int64]:
        made = spare_windows(
            chosen,
            tokenizer,
            window=window,
            most=tokens // window,
            rng=np.random.default_rng([seed, stream]),
        )
        if made is None:
            raise InputError(f"{source} has too little text for windows of {window} tokens")
        return made.tokens

    return Exam(
        fit=windows(mixed, dealt[held:], fit_tokens, 1),
        domains={
            name: windows(named.get(name, mixed), of[name], domain_tokens, 2) for name in sorted(of)
        },
    )


def _documents(other: str) -> list[Document]:
    try:
        return list(load_corpus(other).documents)
    except InputError as error:
        raise InputError(str(error).replace("`corpus`", "`others`", 1)) from error


def check_sizes(given: argparse.Namespace) -> None:
    """Check, before the model is loaded, that no number of tokens is below a window.

    Raises:
        InputError: one is.
    """
    for name, several in (("tokens", given.tokens), ("heldout_tokens", given.heldout_tokens)):
        least = min(several) if isinstance(several, list) else several
        if least < given.window:
            raise InputError(
                f"`{name}` must be at least one `window` ({given.window}), but got {least}"
            )


def add_exam_flags(parser: argparse.ArgumentParser, *, heldout_tokens: int) -> None:
    """Add the flags that all benchmarks of this folder take.

    Args:
        parser: the parser of a benchmark.
        heldout_tokens: default of the tokens of each domain.
    """
    parser.add_argument("--corpus", required=True, metavar="FILE")
    parser.add_argument("--others", nargs="*", default=[], metavar="FILE")
    parser.add_argument("--heldout-tokens", type=count_flag, default=heldout_tokens, metavar="N")
    parser.add_argument("--window", type=count_flag, default=256, metavar="N")
    parser.add_argument("--seed", type=seed_flag, default=0, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")


def exam_of(given: argparse.Namespace, tokenizer: PreTrainedTokenizerBase, fit_tokens: int) -> Exam:
    """Return the exam that these flags ask for.

    Raises:
        InputError: a text cannot be read, or is too small.
    """
    return set_exam(
        given.corpus,
        given.others,
        tokenizer,
        window=given.window,
        fit_tokens=fit_tokens,
        domain_tokens=given.heldout_tokens,
        seed=given.seed,
    )
