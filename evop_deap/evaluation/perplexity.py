"""Perplexity of a finished model on a text, window by window.

The text is tokenised once as a whole and cut into windows that do not overlap. An incomplete last
window is left out. Every window begins with the special tokens that the tokenizer puts before a
text: some models, such as Gemma, predict badly without them. Most papers on pruning put them
before the first window only, which `prefix=False` does. A window's special tokens and its first
token are not predicted; windows are independent.
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
from evop_deap.evaluation.window_start import WindowStart
from evop_deap.text.tokens import tokenised
from evop_deap.text.whole_texts import EvaluationText
from evop_deap.text.windows import capacity_of, check_window

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROTOCOL = (
    "tokenised as a whole, windows that do not overlap, the last one left out unless full, "
    "mean over all predicted tokens (each but a window's first and its special tokens)"
)
_NOTHING = WindowStart()
_GAP = 1.0  # nats a token by which later windows are clearly worse than the first
_DEVIATIONS = 2.0  # of later windows' losses, which the gap must exceed as well


@dataclass(frozen=True, eq=False)
class Perplexity:
    """Perplexity of a model on a text or one of its domains.

    Attributes:
        text: name of the text.
        domain: name of the domain; "" for the whole text.
        window: tokens of a window.
        losses: (windows,) mean nats per predicted token.
        start: the special tokens that windows begin with.

    Example:
        >>> found = Perplexity("a.txt", "", 512, np.log([2.0, 8.0]))
        >>> f"{found.value:.3f}, {found.tokens} tokens"
        '4.000, 1022 tokens'
    """

    text: str
    domain: str
    window: int
    losses: NDArray[np.float64]
    start: WindowStart = _NOTHING

    @property
    def tokens(self) -> int:
        """Number of predicted tokens."""
        return len(self.losses) * (self.window - self.start.given)

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

    @property
    def gap(self) -> float | None:
        """Mean loss of the later windows minus that of the first, in nats; None without any."""
        return float(self.losses[1:].mean() - self.losses[0]) if len(self.losses) > 1 else None

    @property
    def warning(self) -> str | None:
        """A warning if only the first window has the special tokens and the others suffer."""
        gap = self.gap
        if gap is None or self.start.everywhere or not self.start.names:
            return None
        if not gap > max(_GAP, _DEVIATIONS * float(self.losses[1:].std())):
            return None
        return (
            f"{self.text} in windows of {self.window}: the first window's loss is {gap:.2f} nats a "
            f"token below the others', and it alone begins with {self.start.shown}; the model may "
            "need them in every window (--prefix)"
        )

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
            "prefix": self.start.as_dict(),
            "first_window_gap": finite_or_none(self.gap),
            "warning": self.warning,
        }


def measure_perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: EvaluationText,
    *,
    window: int,
    max_windows: int | None = None,
    context: int | None = None,
    prefix: bool = True,
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
        prefix: whether every window begins with the tokenizer's special tokens, or only the first.
        on_windows: called with the number of windows just evaluated.

    Raises:
        InputError: the window does not fit the model, or the text does not fill one.
    """
    from evop_deap.evaluation.window_losses import window_losses

    check_window(window, context)
    start = WindowStart.of(tokenizer, everywhere=prefix)
    cut = dict(cut_windows(tokenizer, text, window=window, max_windows=max_windows, prefix=prefix))
    if not cut:
        raise too_short(text, window)
    losses = window_losses(
        model, np.concatenate([*cut.values()]), given=start.given, on_windows=on_windows
    )
    found = [Perplexity(text.name, "", window, losses, start)]
    if [*text.parts] != [""]:
        ends = np.cumsum([len(windows) for windows in cut.values()])[:-1]
        parts = zip(cut, np.split(losses, ends), strict=True)
        found += [Perplexity(text.name, domain, window, part, start) for domain, part in parts]
    return tuple(found)


def too_short(text: EvaluationText, window: int) -> InputError:
    """Return the error of a text that fills no window."""
    return InputError(f"`window` ({window}) is longer than the text of {text.name}")


def cut_windows(
    tokenizer: PreTrainedTokenizerBase,
    text: EvaluationText,
    *,
    window: int,
    max_windows: int | None = None,
    prefix: bool = True,
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield domain and (windows, window) token ids of each part that fills a window.

    With `prefix`, every window begins with the tokenizer's special tokens, else only the first.
    """
    first = np.array(WindowStart.of(tokenizer, everywhere=prefix).repeated, dtype=np.int64)
    room = capacity_of(window, first.tolist())
    for domain, part in text.parts.items():
        (ids,) = tokenised(tokenizer, [part], add_special_tokens=not len(first))
        count = len(ids) // room
        if max_windows is not None:
            count = min(count, max_windows)
        if count:
            rows = ids[: count * room].reshape(count, room)
            yield domain, np.hstack([np.tile(first, (count, 1)), rows])
