"""The stages of a run in their order, and the function that runs them.

    search ─▶ validate ─▶ compensate ─▶ export ─▶ measure ─▶ answer ─▶ conclude

Each stage is a function from the context and the earlier outputs to plain data. The first stage is
the search or a heuristic; the last one writes the result. A stage is skipped where an earlier
process has stored its output.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from evop_deap.base.errors import CheckpointError, InputError
from evop_deap.base.files import write_json, write_text
from evop_deap.base.typed import typed
from evop_deap.base.user_text import shown
from evop_deap.runs.context import Context
from evop_deap.runs.outputs import Outputs
from evop_deap.runs.recorder import Recorder
from evop_deap.runs.stages.answer import Answered, answer
from evop_deap.runs.stages.conclude import conclude
from evop_deap.runs.stages.export_model import Exported, export_model
from evop_deap.runs.stages.found import Found
from evop_deap.runs.stages.measure import Measured, measure
from evop_deap.runs.stages.recover import Compensated, compensate_pattern
from evop_deap.runs.stages.validate import Validated, validate
from evop_deap.runs.storage.result import SearchResult
from evop_deap.settings.config_files import settings_as_yaml

_Output = TypeVar("_Output")


@dataclass(frozen=True)
class Stage(Generic[_Output]):
    """One stage between the search and the result.

    Attributes:
        name: key of its stored output.
        run: computes the output from the context and the earlier outputs.
        read: makes the output from JSON values; the inverse of its `as_dict`.
        is_there: whether the files of a stored output still exist in the folder.
    """

    name: str
    run: Callable[[Context, Outputs], _Output]
    read: Callable[[Any], _Output]
    is_there: Callable[[Context, Any], bool] = lambda context, known: True


def _model_is_there(context: Context, known: Mapping[str, Any]) -> bool:
    return known.get("failure") is not None or context.folder.model.is_dir()


STAGES: Sequence[Stage[Any]] = (
    Stage("validate", validate, partial(typed, Validated)),
    Stage("compensate", compensate_pattern, Compensated.from_dict),
    Stage("export", export_model, partial(typed, Exported), _model_is_there),
    Stage("measure", measure, partial(typed, Measured)),
    Stage("answer", answer, partial(typed, Answered)),
)


def run_stages(context: Context, found: Found, recorder: Recorder, seconds: float) -> SearchResult:
    """Run the stages after the search, and return the result of the run.

    Args:
        context: the run.
        found: outcome of the search.
        recorder: stores the outputs of the stages.
        seconds: time spent until now, over all processes.
    """
    outputs, left = Outputs(found), list(STAGES)
    spent = {"prepare": seconds - found.seconds, "search": found.seconds}
    while left:
        stage = left.pop(0)
        known = recorder.output_of(stage.name)
        if known is not None and stage.is_there(context, known):
            outputs = outputs.and_then(_read(stage, known, context, found))
            continue
        began = time.monotonic()
        output = stage.run(context, outputs)
        spent[stage.name] = spent.get(stage.name, 0.0) + time.monotonic() - began
        if isinstance(output, Exported) and output.failure and not outputs[Validated].is_exhausted:
            # The next close pattern goes through the same stages.
            validated = outputs[Validated].after_refusal(output.failure)
            context.progress.stage(f"the next close pattern is tried, because {output.failure}")
            recorder.forget_after(STAGES[0].name, validated.as_dict())
            outputs, left = Outputs(found, validated), list(STAGES[1:])
            continue
        recorder.remember(stage.name, output.as_dict())
        outputs = outputs.and_then(output)
    began = time.monotonic()
    result = conclude(context, outputs, sum(spent.values()))
    context.progress.spent({**spent, "report": time.monotonic() - began})
    return result


def _read(stage: Stage[_Output], known: Any, context: Context, found: Found) -> _Output:
    try:
        output = stage.read(known)
        if isinstance(output, Validated):
            _check_found(output, found)
        return output
    except InputError as error:
        place = f"{context.folder.checkpoint}: outputs.{stage.name}"
        raise CheckpointError(f"{place}: {error}: start again with --overwrite") from error


def _check_found(validated: Validated, found: Found) -> None:
    for place, one in enumerate(validated.near_equals):
        if one.pattern != found.pattern and one.pattern not in found.losses:
            raise InputError(
                f"near_equals[{place}].pattern: expected one that was evaluated, "
                f"found {shown(list(one.pattern))}"
            )


def write_beginning(context: Context, generation: int) -> None:
    """Write the settings and the calibration manifest, and cut the history of a killed process.

    Args:
        context: the run.
        generation: generation of the checkpoint; -1 without one.
    """
    folder = context.folder
    write_text(folder.config, settings_as_yaml(context.config))
    write_json(folder.calibration, context.text.manifest)
    folder.cut_history(generation)
