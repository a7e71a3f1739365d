"""Export of a pruned model as an ordinary checkpoint that is checked against the searched model."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evop_deap.base.errors import ExportError, one_line
from evop_deap.base.files import new_folder
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.probe import run_forward
from evop_deap.models.anatomy.quantisation import is_quantised, rounds_to, settle
from evop_deap.models.export.checkpoint_checks import (
    check_outside,
    check_tokens,
    compare,
    copy_files,
    folder_size,
    reporting_native_errors,
)
from evop_deap.models.export.export_report import ExportReport
from evop_deap.models.export.own_code import settle_own_code
from evop_deap.models.export.written_weights import write_weights
from evop_deap.models.loading.auto_classes import auto_class
from evop_deap.models.loading.precision import computing_in_float32, computing_like
from evop_deap.models.loading.put_together import has_stand_ins, load_in_parts
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.models.loading.spread import spread_like
from evop_deap.models.streaming.streamed_weights import stream_like, weights_of
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.models.surgery.cached_decoding import cache_fault, cache_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CACHED_TOKENS = 24


def export_checkpoint(
    model: PreTrainedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    card: str | None = None,
    stored_dtype: torch.dtype | None = None,
    files: Path | None = None,
    changed: Collection[nn.Parameter] = (),
    beside: Collection[Path] = (),
    trust_remote_code: bool = False,
    before_replacing: Callable[[], object] | None = None,
) -> ExportReport:
    """Write `model` without the `dropped` units to `folder`, reload it and compare.

    The checkpoint is reloaded from a temporary folder. This becomes `folder`, and replaces an
    existing one, only if the reloaded logits are those of the bypassed model.

    Args:
        model: The dense model, which stays unchanged.
        anatomy: Its anatomy, at the granularity of the units.
        dropped: Positions of the units to leave out.
        tokenizer: Saved with the weights.
        folder: Folder of the checkpoint.
        card: Text of README.md; None for no such file.
        stored_dtype: Dtype of the checkpoint that `model` was loaded from. If it is narrower than
            the model's, weights are converted back to it if that is exact.
        files: Folder of the checkpoint that `model` was loaded from, if it uses all that is stored
            there. Whole blocks are then copied from file to file.
        changed: Weights in the blocks of `model` that have other values than in `files`.
        beside: Files to copy into the folder, such as those of a processor.
        trust_remote_code: Whether reloading may run code from the checkpoint.
        before_replacing: Called after all checks, just before the folder appears.

    Raises:
        ExportError: the reloaded checkpoint is not the bypassed model.
        OutputError: the folder cannot be written, for lack of space or permission.
        UnsupportedModelError: the units cannot be removed.
    """
    ids = check_tokens(model)
    with bypassed(anatomy, dropped), _precisely(model):
        expected = run_forward(model, ids)
    with new_folder(folder) as temporary, quiet_transformers():
        with reporting_native_errors(folder):
            written = write_weights(
                model, anatomy, dropped, temporary, stored_dtype or model.dtype, files, changed
            )
            tokenizer.save_pretrained(temporary)
            copy_files(beside, temporary)
            settle_own_code(temporary, model)
            if card is not None:
                (temporary / "README.md").write_text(card, encoding="utf-8")
        reloaded = _reload(model, temporary, written.dtype, trust_remote_code)
        stream_like(model, reloaded)
        with computing_like(model, reloaded), _precisely(reloaded):
            rounded = rounds_to(model, expected.dtype)
            difference = compare(expected, run_forward(reloaded, ids), rounded)
        check_outside(model, reloaded, anatomy.path)
        fault = cache_fault(model, reloaded, cache_texts(model, _CACHED_TOKENS))
        if fault is not None:
            raise ExportError(f"the pruned checkpoint {fault}")
        size = folder_size(temporary)
        del reloaded  # its weights are in the file that is about to move
        if before_replacing is not None:
            before_replacing()
    return ExportReport(
        folder=folder,
        layers=written.layers,
        half_layers=written.half_layers,
        parameters=written.parameters,
        zeroed=written.zeroed,
        max_logit_difference=difference,
        bytes=size,
    )


def _precisely(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Return a context for the comparison: on a CPU, bfloat16 weights compute in float32."""
    return computing_in_float32(model) if model.device.type == "cpu" else nullcontext()


def _reload(
    model: PreTrainedModel, folder: Path, dtype: torch.dtype, trust_remote_code: bool
) -> PreTrainedModel:
    """Load the checkpoint in the usual way, with the kernels and the devices of `model`.

    With the dtype that it is stored in, its weights stay in their file on a CPU, and are read as
    a pass comes to them.
    """
    how: dict[str, Any] = {
        "dtype": dtype,
        "attn_implementation": model.config._attn_implementation,
    }
    try:
        if has_stand_ins(model):
            reloaded, info = load_in_parts(folder, **how)
        else:
            reloaded, info = auto_class(model.config).from_pretrained(
                folder,
                **how,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                **({"device_map": {"": model.device}} if is_quantised(model) else {}),
            )
    except Exception as error:
        reason = one_line(error)
        raise ExportError(f"the pruned checkpoint does not load again: {reason}") from error
    for problem, keys in info.items():
        if keys:
            names = ", ".join(sorted(str(key) for key in keys))
            raise ExportError(
                f"the pruned checkpoint does not load whole: {problem.replace('_', ' ')} {names}"
            )
    if is_quantised(model):
        settle(reloaded)
        quantised: PreTrainedModel = reloaded.eval()
        return quantised
    stored: PreTrainedModel = reloaded.eval()
    return stored if weights_of(model) is not None else spread_like(model, stored)
