"""Texts and domains that fill no window, told before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from evop_deap.evaluation.perplexity import cut_windows, too_short
from evop_deap.text.whole_texts import EvaluationText

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def left_out_of(
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[EvaluationText],
    windows: Sequence[int],
    *,
    prefix: bool = True,
) -> tuple[str, ...]:
    """Return a sentence for each text and window with domains that `measure_perplexity` leaves out.

    Args:
        tokenizer: of the model.
        texts: the texts.
        windows: tokens of a window, each of which is measured.
        prefix: as for `measure_perplexity`.

    Raises:
        InputError: no domain of a text fills a window.
    """
    told = []
    for text in texts:
        for window in windows:
            cut = cut_windows(tokenizer, text, window=window, max_windows=1, prefix=prefix)
            filled = {domain for domain, _ in cut}
            if not filled:
                raise too_short(text, window)
            if short := sorted(text.parts.keys() - filled):
                named = ", ".join(short)
                told.append(f"{text.name} in windows of {window}: too short and left out: {named}")
    return tuple(told)
