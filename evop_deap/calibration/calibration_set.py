"""The calibration set: what a search looks at, what it is judged on, and a record of both."""

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

# Every draw has a stream of its own, so that asking for more held-out text, say, leaves the
# calibration windows as they are.
_SPLIT, _CALIBRATION_ORDER, _CALIBRATION_CUTS, _HELDOUT_ORDER, _HELDOUT_CUTS = range(5)
_STRATA, _VALIDATION_CUTS = 5, 6


class Stratify(Protocol):
    """Parts documents into strata; a `ClusterSampler` is one."""

    def __call__(
        self,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        rng: np.random.Generator,
    ) -> Stratification:
        """Strata that are to fill windows of so many tokens."""
        ...


@dataclass(frozen=True, eq=False)
class CalibrationSet:
    """Windows from documents that no window of another part is from.

    Attributes:
        calibration: what patterns are judged by during the search.
        heldout: what the result is reported on; a uniform sample whatever the strategy.
        manifest: plain JSON that names the corpus, the strategy, every document and window.
        weights: (windows,) what each calibration window counts; None where all count the same.
        validation: what decides between patterns that `calibration` cannot tell apart, and
            nothing else; a uniform sample, too. None where no document is left for it.
    """

    calibration: WindowSet
    heldout: WindowSet
    manifest: dict[str, Any]
    weights: NDArray[np.float64] | None = None
    validation: WindowSet | None = None


def build_calibration(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    tokens: int,
    heldout_tokens: int,
    seed: int,
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

    Documents to hold out that no held-out window needs are for validation: they fill as many
    windows as there are to calibrate on, or as many as they can.

    Args:
        corpus: what to draw from.
        tokenizer: the model's tokenizer.
        window: tokens a window.
        tokens: calibration tokens; a multiple of `window`, or what is over is left out.
        heldout_tokens: held-out tokens, likewise.
        seed: at least 0; the same seed gives the same set.
        sampler: orders the calibration documents.
        stratify: parts them into strata instead, such as a `ClusterSampler`; it never sees a
            held-out document.
        respond: judges a pool of windows by probe patterns, for the choice among them.
        weighting: what the windows of a stratum count: "none", "corpus" or "cluster".
        strategy: what the manifest calls the sampler.
        context: the most tokens the model reads; None where it has no bound.
        heldout_share: share of the documents that is held out.
        on_strata: shown the strata and the windows that were drawn from them.

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
    # The cheap part first: what cannot be had is refused before any cluster is paid for.
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
    settings = {
        "strategy": strategy,
        "seed": seed,
        "window": window,
        "tokens": tokens,
        "heldout_tokens": heldout_tokens,
        "heldout_share": heldout_share,
        "weighting": weighting,
        "select": None if respond is None else {"by": "response", "pool": POOL},
    }
    parts = {"calibration": calibration, "heldout": heldout, "validation": validation}
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
    return CalibrationSet(calibration, heldout, manifest, weights, validation)


def _drawn(
    strata: Sequence[Stratum],
    tokenizer: PreTrainedTokenizerBase,
    window: int,
    tokens: int,
    rng_of: Callable[[int], np.random.Generator],
    respond: Respond | None,
) -> StratifiedWindows:
    """Windows in balanced order, or those of a larger pool that respond as all of it does."""
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
    return pool.take(herd_within(losses, pool.labels, tokens // window))
