"""Export of a pruned Llama as DeciLM for vLLM and llama.cpp, without the weights of dropped halves.

Unlike the re-packed checkpoint, it keeps the dense model's layers and their numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.func import functional_call

from evop_deap.base.errors import ExportError, UnsupportedModelError
from evop_deap.base.files import new_folder
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.models.anatomy.probe import run_forward
from evop_deap.models.anatomy.quantisation import is_quantised, method_of
from evop_deap.models.export.checkpoint_checks import (
    check_tokens,
    compare,
    folder_size,
    narrow,
    reporting_native_errors,
)
from evop_deap.models.export.export_report import ExportReport
from evop_deap.models.formats.block_configs import (
    CONFIG_CODE,
    CONFIG_MODULE,
    block_configs_fields,
)
from evop_deap.models.loading.quiet import quiet_transformers
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.models.surgery.dropped_parts import dropped_parts, drops_of
from evop_deap.models.surgery.repacking import repacked

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def export_block_configs(
    model: PreTrainedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    card: str | None = None,
    stored_dtype: torch.dtype | None = None,
    before_replacing: Callable[[], object] | None = None,
) -> ExportReport:
    """Write a checkpoint with `block_configs` to `folder`, reload its weights and compare.

    No released transformers has a class for such models. So the reloaded weights are run in the
    dense model with the dropped units bypassed. Their missing weights are NaN, so that an output
    that depends on them would show.

    Args:
        model: The dense model, which stays unchanged.
        anatomy: Its anatomy, at the granularity of the units.
        dropped: Positions of the units to leave out.
        tokenizer: Saved with the weights.
        folder: Folder of the checkpoint.
        card: Text of README.md; None for no such file.
        stored_dtype: Dtype of the checkpoint that `model` was loaded from.
        before_replacing: Called after all checks, just before the folder appears.

    Raises:
        UnsupportedModelError: the model does not compute what Llama computes.
        InputError: the first kept half is an MLP.
        ExportError: the reloaded model is not the bypassed model.
        OutputError: the folder cannot be written.
    """
    if is_quantised(model):
        raise UnsupportedModelError(
            "`format` block-configs leaves weights out of a float checkpoint, but this one is "
            f"quantised ({method_of(model.config)}): choose transformers"
        )
    drops = drops_of(anatomy, dropped)
    fields = block_configs_fields(_fields(model), drops)
    # A second dense model, whose dtype may differ from the first one's.
    whole = repacked(model, anatomy, ()).model
    narrow(whole, stored_dtype or model.dtype)
    tensors = _stored(whole, _missing(model, anatomy, dropped))
    fields["dtype"] = str(whole.dtype).removeprefix("torch.")
    ids = check_tokens(model)
    with bypassed(anatomy, dropped):
        expected = run_forward(model, ids)
    with new_folder(folder) as temporary, quiet_transformers():
        with reporting_native_errors(folder):
            _write(temporary, fields, tensors)
            whole.generation_config.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            if card is not None:
                (temporary / "README.md").write_text(card, encoding="utf-8")
        difference = compare(expected, _logits(model, anatomy, dropped, temporary, ids))
        size = folder_size(temporary)
        if before_replacing is not None:
            before_replacing()
    return ExportReport(
        folder=folder,
        layers=len(anatomy.blocks),
        half_layers=len(drops.halves),
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        zeroed=0,
        max_logit_difference=difference,
        bytes=size,
    )


def _fields(model: PreTrainedModel) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(model.config.to_json_string(use_diff=False))
    return fields


def _missing(model: PreTrainedModel, anatomy: Anatomy, dropped: Collection[int]) -> set[str]:
    """Return the names of the tensors that only the dropped units use."""
    gone = {weight for part in dropped_parts(anatomy, dropped) for weight in part.weights}
    return {name for name, parameter in model.named_parameters() if parameter in gone}


def _stored(whole: PreTrainedModel, missing: set[str]) -> dict[str, torch.Tensor]:
    """Return the tensors to store; of tied ones, the first."""
    tensors = {name: p.detach() for name, p in whole.named_parameters() if name not in missing}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _write(folder: Path, fields: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(tensors, folder, metadata={"format": "pt"})
    text = json.dumps(fields, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    (folder / f"{CONFIG_MODULE}.py").write_text(CONFIG_CODE, encoding="utf-8")


def _logits(
    model: PreTrainedModel,
    anatomy: Anatomy,
    dropped: Collection[int],
    folder: Path,
    ids: torch.Tensor,
) -> torch.Tensor:
    """Return the logits of the bypassed dense model with the weights in `folder`."""
    from safetensors.torch import load_file

    stored = {k: t for f in sorted(folder.glob("*.safetensors")) for k, t in load_file(f).items()}
    missing = _missing(model, anatomy, dropped)
    named = dict(model.named_parameters())
    if stored.keys() != named.keys() - missing:
        odd = ", ".join(sorted(stored.keys() ^ (named.keys() - missing)))
        raise ExportError(f"the block_configs checkpoint does not load whole: {odd}")
    weights = {name: stored[name].to(p) for name, p in named.items() if name not in missing}
    weights |= {name: torch.full_like(named[name], float("nan")) for name in missing}
    with torch.no_grad(), bypassed(anatomy, dropped):
        output = functional_call(model, weights, kwargs={"input_ids": ids, "use_cache": False})
    logits: torch.Tensor = output.logits
    return logits
