"""The identity of a search: the settings and data that must match to resume a run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evop_deap.base.errors import CheckpointError, InputError
from evop_deap.base.typed import typed
from evop_deap.runs.compensating import asks_for_compensator, is_streamed
from evop_deap.runs.draw_questions import QuestionSet
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.storage.checkpoint import Checkpoint, load_checkpoint
from evop_deap.runs.storage.file_shapes import WorkEntry
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.settings.config_files import read_settings

# Limits may change on resuming: a longer search may continue a shorter one.
STOPPING_SETTINGS = {
    *("generations", "max_evaluations", "max_cost", "max_seconds", "patience", "stop_when_sure")
}
# Locations may change as long as the fingerprints of their content stay the same, and so may the
# workers.
_PLACES = {
    *("model", "corpus", "text_column", "revision", "device", "trust_remote_code", "cache"),
    *("calibration", "check_against", "embedding", "weights", "questions"),
    *("workers", "worker_gpus", "asynchronous"),
}


def identity(prepared: Prepared) -> dict[str, Any]:
    """Return the values that must match to resume a checkpoint, by name."""
    text = prepared.text
    settings = {
        name: value
        for name, value in prepared.config.as_dict().items()
        if name not in STOPPING_SETTINGS | _PLACES
    }
    return {
        "model": prepared.fingerprint,
        "calibration set": text.calibration.fingerprint,
        "held-out set": text.heldout.fingerprint,
        "validation set": text.validation and text.validation.fingerprint,
        "compensation set": text.compensation and text.compensation.fingerprint,
        **({} if prepared.questions is None else _prints(prepared.questions)),
        "weights of windows": None if text.weights is None else text.weights.tolist(),
        **settings,
        **_after_the_search(prepared),
        **{f"version of {name}": version(name) for name in ("evop_deap", "torch", "transformers")},
    }


def _after_the_search(prepared: Prepared) -> dict[str, str]:
    """Say so where streamed weights leave compensation to the found pattern: losses differ."""
    if not (asks_for_compensator(prepared.config) and is_streamed(prepared.loaded)):
        return {}
    form = prepared.config.compensate
    return {"compensate": f"{form}, after the search alone as `weights` are streamed"}


def _prints(questions: QuestionSet) -> dict[str, str]:
    return {
        "questions searched on": questions.calibration.fingerprint,
        "held-out questions": questions.heldout.fingerprint,
        "validation questions": questions.validation.fingerprint,
    }


def resumed_settings(output: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the run in `output`, updated by those in `given`.

    Only limits and locations may differ from the run's. Without a run, `given` is returned.

    Raises:
        InputError: the run's settings cannot be read.
        CheckpointError: a given setting contradicts the run's.
    """
    path = RunFolder(Path(output)).config
    if not path.exists():
        return dict(given)
    stored = read_settings(path)
    # "auto" accepts the value that the run has chosen, but it is a form of compensation itself.
    asked = {n: value for n, value in given.items() if value != "auto" or n == "compensate"}
    free = STOPPING_SETTINGS | _PLACES
    for name, value in asked.items():
        found, wanted = _words(name, stored.get(name)), _words(name, value)
        if name not in free and name in stored and found != wanted:
            raise CheckpointError(
                f"`resume`: the run in {output} has {name} {found}, but got {wanted}: "
                "leave it out, or start again with --overwrite"
            )
    return {**stored, **asked}


def _words(name: str, value: Any) -> Any:
    """Return a setting in a form that compares flags, which hold text, with YAML values.

    Items of a list become text. Only budgets are numbers: they are sorted, and a list of a single
    one becomes that number, as a file holds it.
    """
    if not isinstance(value, list | tuple):
        return value
    if name == "sparsity" and all(isinstance(item, int | float) for item in value):
        value = sorted(value)
        if len(value) == 1:
            return value[0]
    return [str(item) for item in value]


def stored_in(folder: RunFolder, prepared: Prepared) -> Checkpoint | None:
    """Return the checkpoint of this search in `folder`, or None.

    Raises:
        CheckpointError: the checkpoint is damaged, or belongs to another search.
    """
    if not folder.checkpoint.exists():
        return None
    stored = load_checkpoint(folder.checkpoint, identity(prepared))
    for place, record in enumerate(stored.evolution.records if stored.evolution else ()):
        try:
            typed(WorkEntry, dict(record))
        except InputError as error:
            raise CheckpointError(f"{folder.checkpoint}: records[{place}].{error}") from error
    return stored
