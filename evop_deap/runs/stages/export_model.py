"""The export stage: write the pruned model, reload and compare it, and write its pattern."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evop_deap.base.errors import ExportError, InputError, UnsupportedModelError
from evop_deap.base.files import write_text
from evop_deap.runs.compensating import PATTERN_ALONE
from evop_deap.runs.context import Context
from evop_deap.runs.export_base import load_base
from evop_deap.runs.open_model import parts_of
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.pruned_model import PrunedModel
from evop_deap.runs.recipe_of_run import recipe_of_run
from evop_deap.runs.stages.current_model import current_model
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.recover import Compensated
from evop_deap.runs.stages.validate import Validated
from evop_deap.space import dropped_units

if TYPE_CHECKING:
    from evop_deap.models.loading.load_model import LoadedModel


@dataclass(frozen=True)
class Exported:
    """The checkpoint that was written, or why there is none.

    Attributes:
        layers: layers of the checkpoint.
        half_layers: layers with a single active half.
        parameters: stored elements, tied ones counted once.
        zeroed: stored elements that are zero and have no effect.
        difference: largest difference between the logits of the reloaded checkpoint and those
            of the model in memory.
        failure: why no checkpoint was written; None if there is one.
        base: fingerprint and dtype of the dense original that it was written from; None if that
            is the model that was searched.
    """

    layers: int = 0
    half_layers: int = 0
    parameters: int = 0
    zeroed: int = 0
    difference: float = 0.0
    failure: str | None = None
    base: tuple[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def export_model(context: Context, before: Outputs) -> Exported:
    """Write the pruned model and reload it; write its pattern in the formats of other tools.

    Of a pattern that cannot be exported, `failure` has the reason. If no close pattern is left to
    try, the pattern alone is written.

    Raises:
        OutputError: a file cannot be written; existing files stay intact.
    """
    folder = context.folder
    if before[Validated].is_exhausted:
        # The checkpoint of an earlier, shorter run holds another pattern.
        folder.result.unlink(missing_ok=True)
        shutil.rmtree(folder.model, ignore_errors=True)
        _write_pattern(context, before, context.loaded)
        return Exported(failure=before[Validated].refused[0])
    context.progress.stage("exporting the pruned model and checking it")
    try:
        return _export(context, before)
    except (ExportError, UnsupportedModelError) as error:
        return Exported(failure=str(error))


def _export(context: Context, before: Outputs) -> Exported:
    """Write the checkpoint and the pattern."""
    from evop_deap.models.export.export_checkpoint import export_checkpoint
    from evop_deap.models.loading.fingerprint import fingerprint_model
    from evop_deap.models.loading.quiet import quiet_transformers
    from evop_deap.recovery.compensation.changed_weights import written

    loaded, folder = context.loaded, context.folder
    pruned, base = current_model(context, before), None
    if context.config.export_from is not None:
        loaded, pruned = _of_base(context, context.config.export_from, pruned)
        dtype = str(loaded.model.dtype).removeprefix("torch.")
        base = (fingerprint_model(loaded.model), dtype)
    with quiet_transformers(), written(pruned.changes):
        report = export_checkpoint(
            pruned.model,
            pruned.anatomy,
            pruned.dropped,
            loaded.tokenizer,
            folder.model,
            stored_dtype=loaded.stored_dtype,
            files=loaded.files if pruned.model is loaded.model else None,
            changed=pruned.changes.keys(),
            beside=loaded.beside.processor,
            trust_remote_code=context.config.trust_remote_code,
            # The result of an earlier, shorter run must not describe the new model.
            before_replacing=lambda: folder.result.unlink(missing_ok=True),
        )
    _write_pattern(context, before, loaded)
    return Exported(
        layers=report.layers,
        half_layers=report.half_layers,
        parameters=report.parameters,
        zeroed=report.zeroed,
        difference=report.max_logit_difference,
        base=base,
    )


def _of_base(context: Context, name: str, pruned: PrunedModel) -> tuple[LoadedModel, PrunedModel]:
    """Return the dense original, and the same units to leave out of it."""
    base = load_base(name, context.config, context.progress)
    anatomy = parts_of(base, pruned.anatomy.granularity)
    return base, PrunedModel(base.model, anatomy, pruned.dropped)


def _write_pattern(context: Context, before: Outputs, loaded: LoadedModel) -> None:
    """Write the pattern in the formats of other tools, if it describes the model.

    Args:
        context: the run.
        before: outputs of the stages before.
        loaded: the model whose weights the checkpoint has.
    """
    from evop_deap.models.anatomy.quantisation import is_quantised
    from evop_deap.models.formats import Drops, layer_drop_config

    if before[Found].pruned is not None:
        return
    folder, pattern = context.folder, before[Validated].pattern
    comment = PATTERN_ALONE if before[Compensated].taken else ""
    packed = is_quantised(loaded.model)
    dtype = str(loaded.stored_dtype).removeprefix("torch.")
    dropped = (context.space.units[i].name for i in dropped_units(pattern))
    drops = Drops.named(len(context.anatomy.blocks), dropped)

    def recipe(drops: Drops) -> str:
        return recipe_of_run(context.config, drops, dtype, comment, quantised=packed)

    for path, text_of in ((folder.drop_config, layer_drop_config), (folder.mergekit, recipe)):
        try:
            write_text(path, text_of(drops))
        except InputError:  # the format cannot hold this pattern, or its tool not read the weights
            # Remove the file of an earlier, shorter run: it holds another pattern.
            path.unlink(missing_ok=True)
