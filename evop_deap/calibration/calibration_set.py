"""The calibration set: windows for the search, validation and held-out windows, a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.calibration.ccds import Stratification
from evop_deap.calibration.herding import POOL, Respond, herd_within
from evop_deap.calibration.manifest import describe_set, describe_strata
from evop_deap.calibration.sampling import Sampler, in_order, random_order, split_documents
from evop_deap.calibration.strata import (
    StratifiedWindows,
    Stratum,
    draw_windows,
    window_weights,
)
from evop_deap.text.documents import Corpus, Document
from evop_deap.text.window_set import WindowSet
from evop_deap.text.windows import check_window, pack_windows, spare_windows, windows_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HELDOUT_SHARE = 0.25

# Every draw has its own random stream, so that more held-out text, for example, does not change
# the calibration windows.
_SPLIT, _CALIBRATION_ORDER, _CALIBRATION_CUTS, _HELDOUT_ORDER, _HELDOUT_CUTS = range(5)
_STRATA, _VALIDATION_CUTS, _COMPENSATION_CUTS, _COMPENSATION_ORDER = range(5, 9)


class Stratify(Protocol):
    """Splits documents into strata, as `ClusterSampler` does."""

    def __call__(
        self,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        rng: np.random.Generator,
    ) -> Stratification:
        """Return strata for windows of `window` tokens."""
        ...


@dataclass(frozen=True, eq=False)
class CalibrationSet:
    """Calibration, held-out and validation windows; no document is in two of these parts.

    Attributes:
        calibration: windows on which the search evaluates patterns.
        heldout: windows on which the result is reported; a uniform sample for every strategy.
        manifest: plain JSON that names the corpus, the strategy, every document and window.
        weights: (windows,) weight of each calibration window; None for equal weights.
        validation: windows that decide between near-equal patterns, and whether a compensated
            model is better; a uniform sample. None if no document is left for it.
        compensation: windows on which kept weights are solved anew. They come from calibration
            documents, those without a calibration window first. None if none were asked for, or
            no text is left for them.
    """

    calibration: WindowSet
    heldout: WindowSet
    manifest: dict[str, Any]
    weights: NDArray[np.float64] | None = None
    validation: WindowSet | None = None
    compensation: WindowSet | None = None


def build_calibration(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    tokens: int,
    heldout_tokens: int,
    seed: int,
    compensation_tokens: int = 0,
    sampler: Sampler = random_order,
    stratify: Stratify | None = None,
    respond: Respond | None = None,
    weighting: str = "none",
    strategy: str = "random",
    context: int | None = None,
    heldout_share: float = HELDOUT_SHARE,
    on_strata: Callable[[Stratification, StratifiedWindows], object] | None = None,
) -> CalibrationSet:
    """Split the corpus by document, order the documents, and pack each part into windows.

    Validation windows come from the held-out documents that no held-out window uses. There are
    as many as calibration windows, or fewer if the documents do not suffice.

    Args:
        corpus: source of all documents.
        tokenizer: the model's tokenizer.
        window: tokens in a window.
        tokens: calibration tokens, rounded down to a multiple of `window`.
        heldout_tokens: held-out tokens, rounded down likewise.
        seed: at least 0; the same seed gives the same set.
        compensation_tokens: tokens to compensate on; fewer where the documents hold fewer.
        sampler: orders the calibration documents.
        stratify: splits the calibration documents into strata instead, such as a
            `ClusterSampler`; it never gets a held-out document.
        respond: evaluates probe patterns on a larger pool of windows, to select some of them.
        weighting: weights of the windows by stratum: "none", "corpus" or "cluster".
        strategy: name of the sampler in the manifest.
        context: the longest input of the model in tokens; None for no limit.
        heldout_share: share of the documents to hold out.
        on_strata: called with the strata and the windows drawn from them.

    Raises:
        InputError: an argument is out of range, or the corpus is too small for it.
    """
    check_window(window, context)
    if seed < 0:
        raise InputError(f"`seed` must be at least 0, but got {seed}")

    def stream(*draw: int) -> np.random.Generator:
        return np.random.default_rng([seed, *draw])

    count = windows_in(tokens, window, "tokens")
    to_calibrate, to_hold_out = split_documents(corpus.documents, heldout_share, stream(_SPLIT))
    # The cheap part first: a corpus that is too small fails before the clustering.
    held_out = in_order(to_hold_out, random_order, stream(_HELDOUT_ORDER))
    heldout = pack_windows(
        held_out,
        tokenizer,
        window=window,
        tokens=heldout_tokens,
        rng=stream(_HELDOUT_CUTS),
        budget_name="heldout_tokens",
    )
    used = heldout.documents
    validation = spare_windows(
        [document for document in held_out if document.id not in used],
        tokenizer,
        window=window,
        most=count,
        rng=stream(_VALIDATION_CUTS),
    )
    found: Stratification | None = None
    drawn: StratifiedWindows | None = None
    if stratify is None and respond is None:
        calibration = pack_windows(
            in_order(to_calibrate, sampler, stream(_CALIBRATION_ORDER)),
            tokenizer,
            window=window,
            tokens=tokens,
            rng=stream(_CALIBRATION_CUTS),
        )
    else:
        if stratify is not None:
            found = stratify(to_calibrate, tokenizer, window=window, rng=stream(_STRATA))
            strata = found.strata
        else:
            ordered = in_order(to_calibrate, sampler, stream(_CALIBRATION_ORDER))
            strata = (Stratum(0, tuple(ordered), 1.0, 1.0),)
        drawn = _drawn(
            strata,
            tokenizer,
            window,
            tokens,
            lambda label: stream(_CALIBRATION_CUTS, label + 1),
            respond,
        )
        calibration = drawn.windows
    calibrated = calibration.documents
    spare = in_order(to_calibrate, random_order, stream(_COMPENSATION_ORDER))
    compensation = spare_windows(
        sorted(spare, key=lambda document: document.id in calibrated),  # which keeps their order
        tokenizer,
        window=window,
        most=compensation_tokens // window,
        rng=stream(_COMPENSATION_CUTS),
    )
    settings = {
        "strategy": strategy,
        "seed": seed,
        "window": window,
        "tokens": tokens,
        "heldout_tokens": heldout_tokens,
        "compensation_tokens": compensation_tokens,
        "heldout_share": heldout_share,
        "weighting": weighting,
        "select": None if respond is None else {"by": "response", "pool": POOL},
    }
    parts = {
        "calibration": calibration,
        "heldout": heldout,
        "validation": validation,
        "compensation": compensation,
    }
    manifest = describe_set(corpus, tokenizer, parts, settings)
    weights = None
    if found is not None and drawn is not None:
        if weighting != "none":
            sizes = {stratum.label: stratum.size for stratum in found.strata}
            weights = window_weights(drawn.labels, sizes, weighting)
            manifest["calibration"]["weights"] = weights.tolist()
        describe_strata(manifest, found, drawn)
        if on_strata is not None:
            on_strata(found, drawn)
    return CalibrationSet(calibration, heldout, manifest, weights, validation, compensation)


def _drawn(
    strata: Sequence[Stratum],
    tokenizer: PreTrainedTokenizerBase,
    window: int,
    tokens: int,
    rng_of: Callable[[int], np.random.Generator],
    respond: Respond | None,
) -> StratifiedWindows:
    """Return windows in balanced order; with `respond`, windows herded from a larger pool."""
    pool = draw_windows(
        strata,
        tokenizer,
        window=window,
        tokens=tokens if respond is None else POOL * tokens,
        rng_of=rng_of,
        least=tokens,
    )
    if respond is None:
        return pool
    losses = respond(pool.windows.tokens)
    # A small stratum is exhausted in the pool: its share there is too small.
    shares = {stratum.label: stratum.share for stratum in strata}
    return pool.take(herd_within(losses, pool.labels, tokens // window, shares))
