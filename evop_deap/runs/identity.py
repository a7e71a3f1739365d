"""What makes two runs the same search, so that one may go on where the other stopped."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evop_deap.base.errors import CheckpointError
from evop_deap.runs.prepared import Prepared
from evop_deap.runs.storage.checkpoint import Checkpoint, load_checkpoint
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.settings.config_files import read_settings

# These say when to end, not what is searched: a longer search may follow a shorter one.
STOPPING_SETTINGS = {"generations", "max_evaluations", "max_cost", "max_seconds", "patience"}
# Where things are may change as long as the fingerprints of what is there do not.
_PLACES = {
    *("model", "corpus", "text_column", "revision", "device", "trust_remote_code", "cache"),
    *("calibration", "check_against", "embedding"),
}


def identity(prepared: Prepared) -> dict[str, Any]:
    """What must be equal for a checkpoint to be continued, by name."""
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
        "weights of windows": None if text.weights is None else text.weights.tolist(),
        **settings,
        **{f"version of {name}": version(name) for name in ("evop_deap", "torch", "transformers")},
    }


def resumed_settings(output: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the run in `output` under those `given` now, which say when to stop.

    Where there is no run yet, the given ones alone.

    Raises:
        InputError: the run's settings cannot be read.
        CheckpointError: a setting given now is not the run's.
    """
    path = RunFolder(Path(output)).config
    if not path.exists():
        return dict(given)
    stored = read_settings(path)
    # "auto" asks for no particular value: the one that the run settled on will do.
    asked = {name: value for name, value in given.items() if value != "auto"}
    free = STOPPING_SETTINGS | _PLACES
    for name, value in asked.items():
        found, wanted = _words(stored.get(name)), _words(value)
        if name not in free and name in stored and found != wanted:
            raise CheckpointError(
                f"`resume`: the run in {output} has {name} {found}, but got {wanted}: "
                "leave it out, or start again with --overwrite"
            )
    return {**stored, **asked}


def _words(value: Any) -> Any:
    """A list by what its items are called, those of numbers in order: flags hold texts.

    A list of one number is that number, as files have a single budget.
    """
    if not isinstance(value, list | tuple):
        return value
    if len(value) == 1 and isinstance(value[0], int | float):
        return value[0]
    numbers = all(isinstance(item, int | float) for item in value)
    return [str(item) for item in (sorted(value) if numbers else value)]


def stored_in(folder: RunFolder, prepared: Prepared) -> Checkpoint | None:
    """What an earlier process has left of this search in `folder`.

    Raises:
        CheckpointError: it is damaged, or of another search.
    """
    if not folder.checkpoint.exists():
        return None
    return load_checkpoint(folder.checkpoint, identity(prepared))
