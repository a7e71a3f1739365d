"""Export of a pruned model as an ordinary checkpoint that is checked against the searched model."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from evop_deap.base.errors import ExportError, one_line
from evop_deap.base.files import new_folder
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.probe import run_forward
from evop_deap.models.export.checkpoint_checks import (
    check_outside,
    check_tokens,
    compare,
    copy_files,
    folder_size,
    narrow,
    reporting_native_errors,
)
from evop_deap.models.export.export_report import ExportReport
from evop_deap.models.export.own_code import settle_own_code
from evop_deap.models.loading.auto_classes import auto_class
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.models.surgery.cached_decoding import cache_fault, cache_texts
from evop_deap.models.surgery.packing import leftovers
from evop_deap.models.surgery.repacking import repacked

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
        beside: Files to copy into the folder, such as those of a processor.
        trust_remote_code: Whether reloading may run code from the checkpoint.
        before_replacing: Called after all checks, just before the folder appears.

    Raises:
        ExportError: the reloaded checkpoint is not the bypassed model.
        OutputError: the folder cannot be written, for lack of space or permission.
        UnsupportedModelError: the units cannot be removed.
    """
    ids = check_tokens(model)
    with bypassed(anatomy, dropped):
        expected = run_forward(model, ids)
    made = repacked(model, anatomy, dropped)
    pruned: Any = made.model
    narrow(pruned, stored_dtype or model.dtype)
    parameters = sum(parameter.numel() for parameter in pruned.parameters())
    with new_folder(folder) as temporary, quiet_transformers():
        with reporting_native_errors(folder):
            pruned.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            copy_files(beside, temporary)
            settle_own_code(temporary, model)
            if card is not None:
                (temporary / "README.md").write_text(card, encoding="utf-8")
        reloaded = _reload(model, temporary, trust_remote_code)
        difference = compare(expected, run_forward(reloaded, ids))
        check_outside(pruned, reloaded, anatomy.path)
        fault = cache_fault(model, reloaded, cache_texts(model, _CACHED_TOKENS))
        if fault is not None:
            raise ExportError(f"the pruned checkpoint {fault}")
        size = folder_size(temporary)
        if before_replacing is not None:
            before_replacing()
    return ExportReport(
        folder=folder,
        layers=len(made.layers),
        half_layers=len(leftovers(made.layers)),
        parameters=parameters,
        zeroed=made.zeroed,
        max_logit_difference=difference,
        bytes=size,
    )


def _reload(model: PreTrainedModel, folder: Path, trust_remote_code: bool) -> PreTrainedModel:
    """Load the checkpoint in the usual way, with the dtype, kernels and device of `model`."""
    try:
        reloaded, info = auto_class(model.config).from_pretrained(
            folder,
            dtype=model.dtype,
            attn_implementation=model.config._attn_implementation,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
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
    loaded: PreTrainedModel = reloaded.to(model.device).eval()
    return loaded
