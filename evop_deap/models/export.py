"""Writing a pruned model as an ordinary checkpoint, and proving that it is the model searched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.errors import EvopError, ExportError, OutputError
from evop_deap.files import new_folder
from evop_deap.models.anatomy import Anatomy
from evop_deap.models.decoding import cache_fault
from evop_deap.models.probe import embedding_table, run_forward
from evop_deap.models.quiet import quiet_transformers
from evop_deap.models.surgery import bypassed, logit_difference, without_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CHECK_ROWS, _CHECK_TOKENS, _CHECK_SEED = 2, 48, 20250


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Args:
        folder: Where the checkpoint is.
        parameters: Elements of the pruned model, tied ones counted once.
        max_logit_difference: Largest absolute difference between the logits of the reloaded
            checkpoint and those of the model in memory with the blocks bypassed.
        bytes: Size of all files in the folder.
    """

    folder: Path
    parameters: int
    max_logit_difference: float
    bytes: int


def export_checkpoint(
    model: PreTrainedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    card: str | None = None,
    stored_dtype: torch.dtype | None = None,
    trust_remote_code: bool = False,
    before_replacing: Callable[[], object] | None = None,
) -> ExportReport:
    """Write `model` without the `dropped` blocks to `folder`, reload it and compare.

    The checkpoint is reloaded from a temporary folder, which becomes `folder` only when the
    reloaded logits are those of the bypassed model. A folder already there is replaced then.

    Args:
        model: The dense model; it is left as it is.
        anatomy: Where its blocks are.
        dropped: Indices of the blocks to leave out.
        tokenizer: Saved beside the weights.
        folder: Where the checkpoint goes.
        card: Text of README.md; without it there is none.
        stored_dtype: Number format of the checkpoint that `model` was loaded from. Where it is
            narrower than the model's, weights go back to it if that loses nothing.
        trust_remote_code: Whether reloading may run code that comes with the model.
        before_replacing: Called when all is checked, just before the folder appears.

    Raises:
        ExportError: the reloaded checkpoint is not the bypassed model.
        OutputError: the folder cannot be written, for want of space or of rights.
        UnsupportedModelError: the blocks cannot be removed.
    """
    ids = _check_tokens(model)
    with bypassed(anatomy, dropped):
        expected = run_forward(model, ids)
    pruned = without_blocks(model, anatomy, dropped)
    _narrow(pruned, stored_dtype or model.dtype)
    parameters = sum(parameter.numel() for parameter in pruned.parameters())
    with new_folder(folder) as temporary, quiet_transformers():
        with _reporting_native_errors(folder):
            pruned.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            if card is not None:
                (temporary / "README.md").write_text(card, encoding="utf-8")
        reloaded = _reload(model, temporary, trust_remote_code)
        difference = _compare(expected, run_forward(reloaded, ids))
        fault = cache_fault(model, reloaded, ids)
        if fault is not None:
            raise ExportError(f"the pruned checkpoint {fault}")
        size = sum(file.stat().st_size for file in temporary.rglob("*") if file.is_file())
        if before_replacing is not None:
            before_replacing()
    return ExportReport(
        folder=folder, parameters=parameters, max_logit_difference=difference, bytes=size
    )


def _narrow(pruned: PreTrainedModel, dtype: torch.dtype) -> None:
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


def _check_tokens(model: PreTrainedModel) -> torch.Tensor:
    """A fixed batch of random token ids, within the model's context: (rows, tokens)."""
    vocabulary = embedding_table(model).shape[0]
    text = model.config.get_text_config(decoder=True)
    context = getattr(text, "max_position_embeddings", None) or _CHECK_TOKENS
    generator = torch.Generator().manual_seed(_CHECK_SEED)
    shape = (_CHECK_ROWS, min(_CHECK_TOKENS, context))
    return torch.randint(vocabulary, shape, generator=generator).to(model.device)


def _reload(model: PreTrainedModel, folder: Path, trust_remote_code: bool) -> PreTrainedModel:
    """The checkpoint as anyone would load it, with the dtype, kernels and device of `model`."""
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    try:
        reloaded, info = auto.from_pretrained(
            folder,
            dtype=model.dtype,
            attn_implementation=model.config._attn_implementation,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"the pruned checkpoint does not load again: {reason}") from error
    for problem, keys in info.items():
        if keys:
            names = ", ".join(sorted(str(key) for key in keys))
            raise ExportError(
                f"the pruned checkpoint does not load whole: {problem.replace('_', ' ')} {names}"
            )
    loaded: PreTrainedModel = reloaded.to(model.device).eval()
    return loaded


def _compare(expected: torch.Tensor, got: torch.Tensor) -> float:
    difference, allowed = logit_difference(expected, got)
    # Written so that a difference of NaN fails.
    if not difference <= allowed:
        raise ExportError(
            "the pruned checkpoint is not the model that was searched: its logits differ by"
            f" {difference:.3g}, allowed is {allowed:.3g}"
        )
    return difference


@contextmanager
def _reporting_native_errors(folder: Path) -> Iterator[None]:
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
