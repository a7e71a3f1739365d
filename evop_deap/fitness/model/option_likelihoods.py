"""The log-likelihoods of a question's options, by ordinary forward passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from evop_deap.fitness.answer_losses import answer_losses
from evop_deap.text.questions import Option, Questions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOGITS_BYTES = 256 * 2**20


def losses_of_answers(model: PreTrainedModel, questions: Questions) -> NDArray[np.float64]:
    """Return the (questions,) losses of a model as it is; see `answer_loss`."""
    return answer_losses(likelihoods_of(model, questions), questions.asked)


def likelihoods_of(model: PreTrainedModel, questions: Questions) -> list[NDArray[np.float64]]:
    """Return the (options,) log-likelihoods of each question by a model as it is, in nats.

    Every option is a row with the text before it. Rows are padded at their ends, where no token
    of a causal model sees it.
    """
    options = [option for question in questions.asked for option in question.options]
    vocabulary: int = model.config.get_text_config(decoder=True).vocab_size
    found: list[float] = []
    with torch.inference_mode():
        for some in _batches(options, _LOGITS_BYTES // (4 * vocabulary)):
            found += _log_likelihoods(model, some)
    ends = list(accumulate(len(question.options) for question in questions.asked))
    return np.split(np.array(found), ends[:-1])


def _batches(options: Sequence[Option], tokens: int) -> Iterator[list[Option]]:
    """Yield the options in batches of about this many tokens, padding included."""
    batch: list[Option] = []
    longest = 0
    for option in options:
        longest = max(longest, len(option.tokens))
        if batch and longest * (len(batch) + 1) > tokens:
            yield batch
            batch, longest = [], len(option.tokens)
        batch.append(option)
    yield batch


def _log_likelihoods(model: PreTrainedModel, options: Sequence[Option]) -> list[float]:
    """Return the log-likelihood of each option, summed over its tokens."""
    rows = [torch.tensor(option.tokens) for option in options]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)
    logits = model(input_ids=padded[:, :-1], use_cache=False).logits
    found = []
    for option, row, scores in zip(options, padded, logits, strict=True):
        some = slice(option.start - 1, len(option.tokens) - 1)
        targets = row[1:][some].unsqueeze(1)
        each = scores[some].float().log_softmax(-1).gather(1, targets)
        found.append(float(each.cpu().double().sum()))
    return found
