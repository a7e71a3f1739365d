"""Steps that all checkpoint exports share: the stored dtype, the comparison, the size."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from evop_deap.base.errors import EvopError, ExportError, OutputError
from evop_deap.models.anatomy.probe import embedding_table
from evop_deap.models.anatomy.quantisation import plain_tensors
from evop_deap.models.loading.mapped_pages import pages_of
from evop_deap.models.loading.put_together import whole
from evop_deap.models.surgery.logit_difference import logit_difference

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TEMPLATES = "additional_chat_templates"
_AT_ONCE = 1 << 24  # elements that are compared
_CHECK_ROWS, _CHECK_TOKENS, _CHECK_SEED = 2, 48, 20250


def narrow(pruned: PreTrainedModel, dtype: torch.dtype) -> None:
    """Convert the parameters to `dtype` if it represents all of them exactly.

    A search may run in float32 on bfloat16 weights, because that is faster on a CPU. A float32
    checkpoint would be twice as large for nothing.
    """
    wide = [p for p in pruned.parameters() if p.is_floating_point() and p.itemsize > dtype.itemsize]
    # All or none, because a plain reload reads a whole checkpoint in one dtype.
    if all(torch.equal(p.data.to(dtype).to(p.dtype), p.data) for p in wide):
        for parameter in wide:
            # The parameter belongs to this model; only its data is shared with the dense one.
            parameter.data = parameter.data.to(dtype)


def check_tokens(model: PreTrainedModel) -> torch.Tensor:
    """Return a fixed batch of random token ids, within the model's context: (rows, tokens)."""
    vocabulary = embedding_table(model).shape[0]
    text = model.config.get_text_config(decoder=True)
    context = getattr(text, "max_position_embeddings", None) or _CHECK_TOKENS
    generator = torch.Generator().manual_seed(_CHECK_SEED)
    shape = (_CHECK_ROWS, min(_CHECK_TOKENS, context))
    return torch.randint(vocabulary, shape, generator=generator).to(model.device)


def compare(expected: torch.Tensor, got: torch.Tensor, dtype: torch.dtype | None = None) -> float:
    """Return the largest absolute difference between logits; see `logit_difference`.

    Raises:
        ExportError: it is larger than rounding explains.
    """
    difference, allowed = logit_difference(expected, got, dtype)
    # In this form, a difference of NaN fails.
    if not difference <= allowed:
        raise ExportError(
            "the pruned checkpoint is not the model that was searched: its logits differ by"
            f" {difference:.3g}, allowed is {allowed:.3g}"
        )
    return difference


def check_outside(model: PreTrainedModel, reloaded: PreTrainedModel, path: str) -> None:
    """Check that every weight outside the blocks, such as a vision tower's, was kept bit for bit.

    Logits of text do not depend on all of them.

    Args:
        model: the model that was written without some of its blocks.
        reloaded: the model that was read again, of the same or a narrower dtype.
        path: module path of the blocks.

    Raises:
        ExportError: a weight differs.
    """
    own = dict(model.named_parameters())
    for name, weight in reloaded.named_parameters():
        if name.startswith(f"{path}."):
            continue
        same = weight.shape == own[name].shape
        for read, kept in zip(_pieces(weight), _pieces(own[name]), strict=same):
            same = same and torch.equal(read.to(kept.device, kept.dtype), kept)
            pages_of(reloaded).let_go(read)
            pages_of(model).let_go(kept)
        if not same:
            raise ExportError(f"the pruned checkpoint has other weights in {name}")


def _pieces(weight: torch.Tensor) -> Iterator[torch.Tensor]:
    for _, tensor in plain_tensors("", whole(weight.detach())):
        yield from tensor.reshape(-1).split(_AT_ONCE)


def copy_files(files: Collection[Path], folder: Path) -> None:
    """Copy files into a folder; a folder of templates keeps its name."""
    for file in files:
        parent = folder / file.parent.name if file.parent.name == _TEMPLATES else folder
        parent.mkdir(exist_ok=True)
        shutil.copy(file, parent)


@contextmanager
def reporting_native_errors(folder: Path) -> Iterator[None]:
    """Turn a failed write in a native library into one line.

    safetensors and tokenizers do not raise OSError; the system's error is only in their message.
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
    """Return the total size of the files in a folder, in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
