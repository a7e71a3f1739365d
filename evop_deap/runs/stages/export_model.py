"""The export stage: a checkpoint of the pruned model, reloaded and compared, and its pattern."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evop_deap.base.errors import InputError
from evop_deap.base.files import write_text
from evop_deap.runs.context import Context
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.stages.current_model import current_model
from evop_deap.runs.stages.validate import Validated
from evop_deap.space import Pattern, dropped_units


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        layers: of the checkpoint.
        half_layers: those of them of which one half works.
        parameters: elements that are stored, tied ones counted once.
        zeroed: those of them that are there and do nothing.
        difference: largest difference between the logits of the reloaded checkpoint and those
            of the model in memory.
    """

    layers: int
    half_layers: int
    parameters: int
    zeroed: int
    difference: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Exported:
        """What was written, of which `as_dict` gave these values."""
        return cls(**plain)


def export_model(context: Context, before: Outputs) -> Exported:
    """Write the pruned model and reload it; write its pattern in the formats of other tools.

    Raises:
        ExportError: the reloaded checkpoint is not the model in memory.
        OutputError: something cannot be written; what is there stays whole.
    """
    from evop_deap.models.export.export_checkpoint import export_checkpoint
    from evop_deap.models.loading.quiet import quiet_transformers

    loaded, folder = context.loaded, context.folder
    pruned = current_model(context, before)
    context.progress.stage("exporting the pruned model and checking it")
    with quiet_transformers():
        report = export_checkpoint(
            pruned.model,
            pruned.anatomy,
            pruned.dropped,
            loaded.tokenizer,
            folder.model,
            stored_dtype=loaded.stored_dtype,
            trust_remote_code=context.config.trust_remote_code,
            # The result of an earlier, shorter run must not stand beside another model.
            before_replacing=lambda: folder.result.unlink(missing_ok=True),
        )
    if not pruned.changed:
        _write_patterns(context, before[Validated].pattern)
    return Exported(
        layers=report.layers,
        half_layers=report.half_layers,
        parameters=report.parameters,
        zeroed=report.zeroed,
        difference=report.max_logit_difference,
    )


def _write_patterns(context: Context, pattern: Pattern) -> None:
    """The pattern in the formats of other tools."""
    from evop_deap.models.formats import Drops, layer_drop_config, mergekit_passthrough

    loaded, folder = context.loaded, context.folder
    source = loaded.hub_id or loaded.name
    dtype = str(loaded.stored_dtype).removeprefix("torch.")
    dropped = (context.space.units[i].name for i in dropped_units(pattern))
    drops = Drops.named(len(context.anatomy.blocks), dropped)
    for path, text_of in (
        (folder.drop_config, layer_drop_config),
        (folder.mergekit, lambda drops: mergekit_passthrough(source, drops, dtype)),
    ):
        try:
            write_text(path, text_of(drops))
        except InputError:  # a format that cannot say what goes
            # The file of an earlier, shorter run would be about another pattern.
            path.unlink(missing_ok=True)
