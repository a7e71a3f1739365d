"""Perplexity of a finished model on a text, window by window.

This is the protocol of most papers on pruning. The text is tokenised once as a whole, with the
tokenizer's special tokens, and cut into windows that do not overlap. An incomplete last window is
left out. The first token of a window is not predicted, and windows are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import InputError
from evop_deap.base.numbers import exponential, finite_or_none
from evop_deap.evaluation.estimates import Estimate, difference_of, mean_of
from evop_deap.text.tokens import tokenised
from evop_deap.text.whole_texts import EvaluationText
from evop_deap.text.windows import check_window

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROTOCOL = (
    "tokenised as a whole, windows that do not overlap, the last one left out unless full, "
    "mean over all predicted tokens (each but a window's first)"
)


@dataclass(frozen=True, eq=False)
class Perplexity:
    """Perplexity of a model on a text or one of its domains.

    Attributes:
        text: name of the text.
        domain: name of the domain; "" for the whole text.
        window: tokens of a window.
        losses: (windows,) mean nats per predicted token.

    Example:
        >>> found = Perplexity("a.txt", "", 512, np.log([2.0, 8.0]))
        >>> f"{found.value:.3f}, {found.tokens} tokens"
        '4.000, 1022 tokens'
    """

    text: str
    domain: str
    window: int
    losses: NDArray[np.float64]

    @property
    def tokens(self) -> int:
        """Number of predicted tokens."""
        return len(self.losses) * (self.window - 1)

    @property
    def loss(self) -> Estimate:
        """Mean nats per predicted token; the error treats windows as independent."""
        return mean_of(self.losses)

    @property
    def value(self) -> float:
        """The perplexity; infinite where it is too large for a float."""
        return exponential(self.loss.value)

    @property
    def error(self) -> float | None:
        """Standard error of the perplexity, by the delta method."""
        return None if self.loss.error is None else self.value * self.loss.error

    def excess(self, dense: Perplexity) -> Estimate:
        """Return the loss above the dense model's in nats a token, paired by window."""
        return difference_of(self.losses, dense.losses)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the loss of each window."""
        return {
            "text": self.text,
            "domain": self.domain,
            "window": self.window,
            "windows": len(self.losses),
            "tokens": self.tokens,
            "perplexity": finite_or_none(self.value),
            "perplexity_error": finite_or_none(self.error),
            "loss": self.loss.as_dict(),
            "losses": [finite_or_none(loss) for loss in self.losses.tolist()],
        }


def measure_perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: EvaluationText,
    *,
    window: int,
    max_windows: int | None = None,
    context: int | None = None,
    on_windows: Callable[[int], object] | None = None,
) -> tuple[Perplexity, ...]:
    """Return the perplexity of a whole text, then of each of its domains.

    Args:
        model: in evaluation mode.
        tokenizer: tokenizer of the model.
        text: the text; a domain shorter than a window is left out.
        window: tokens of a window.
        max_windows: evaluate only this many first windows of each domain; None for all.
        context: context length of the model in tokens; None without a limit.
        on_windows: called with the number of windows just evaluated.

    Raises:
        InputError: the window does not fit the model, or the text does not fill one.
    """
    from evop_deap.evaluation.window_losses import window_losses

    check_window(window, context)
    cut = dict(cut_windows(tokenizer, text, window=window, max_windows=max_windows))
    if not cut:
        raise InputError(f"`window` ({window}) is longer than the text of {text.name}")
    losses = window_losses(model, np.concatenate([*cut.values()]), on_windows=on_windows)
    found = [Perplexity(text.name, "", window, losses)]
    if [*text.parts] != [""]:
        ends = np.cumsum([len(windows) for windows in cut.values()])[:-1]
        parts = zip(cut, np.split(losses, ends), strict=True)
        found += [Perplexity(text.name, domain, window, part) for domain, part in parts]
    return tuple(found)


def cut_windows(
    tokenizer: PreTrainedTokenizerBase,
    text: EvaluationText,
    *,
    window: int,
    max_windows: int | None = None,
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield domain and (windows, window) token ids of each part that fills a window."""
    for domain, part in text.parts.items():
        (ids,) = tokenised(tokenizer, [part], add_special_tokens=True)
        count = len(ids) // window
        if max_windows is not None:
            count = min(count, max_windows)
        if count:
            yield domain, ids[: count * window].reshape(count, window)
