"""What every checkpoint goes through that is written here: narrowed, measured, compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from evop_deap.base.errors import EvopError, ExportError, OutputError
from evop_deap.models.anatomy.probe import embedding_table
from evop_deap.models.surgery.logit_difference import logit_difference

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CHECK_ROWS, _CHECK_TOKENS, _CHECK_SEED = 2, 48, 20250


def narrow(pruned: PreTrainedModel, dtype: torch.dtype) -> None:
    """Store in `dtype` where it holds the values of every parameter exactly.

    A search may run in float32 on weights published in bfloat16, because that is faster on a
    processor; the checkpoint would double in size for nothing.
    """
    wide = [p for p in pruned.parameters() if p.is_floating_point() and p.itemsize > dtype.itemsize]
    # All or none: a checkpoint has one format, in which a plain reload reads all of it.
    if all(torch.equal(p.data.to(dtype).to(p.dtype), p.data) for p in wide):
        for parameter in wide:
            # The parameter is this model's own; only its values are shared with the live one.
            parameter.data = parameter.data.to(dtype)


def check_tokens(model: PreTrainedModel) -> torch.Tensor:
    """A fixed batch of random token ids, within the model's context: (rows, tokens)."""
    vocabulary = embedding_table(model).shape[0]
    text = model.config.get_text_config(decoder=True)
    context = getattr(text, "max_position_embeddings", None) or _CHECK_TOKENS
    generator = torch.Generator().manual_seed(_CHECK_SEED)
    shape = (_CHECK_ROWS, min(_CHECK_TOKENS, context))
    return torch.randint(vocabulary, shape, generator=generator).to(model.device)


def compare(expected: torch.Tensor, got: torch.Tensor) -> float:
    """The largest difference between logits.

    Raises:
        ExportError: it is more than rounding explains.
    """
    difference, allowed = logit_difference(expected, got)
    # Written so that a difference of NaN fails.
    if not difference <= allowed:
        raise ExportError(
            "the pruned checkpoint is not the model that was searched: its logits differ by"
            f" {difference:.3g}, allowed is {allowed:.3g}"
        )
    return difference


@contextmanager
def reporting_native_errors(folder: Path) -> Iterator[None]:
    """Turn a refused write inside a native library into one line.

    safetensors and tokenizers do not raise OSError: only their message has the system's error.
    """
    try:
        yield
    except (EvopError, OSError):
        raise
    except Exception as error:
        if "os error" not in str(error):
            reason = " ".join(str(error).split())
            raise ExportError(f"the pruned model cannot be saved: {reason}") from error
        raise OutputError(f"cannot write {folder}: {error}") from error


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
