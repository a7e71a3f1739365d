"""Saving a calibration set in a folder, and loading it for any number of searches."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.data_files import read_json
from evop_deap.base.errors import InputError, one_line
from evop_deap.base.files import write_bytes, write_json
from evop_deap.base.typed import typed
from evop_deap.base.user_text import shown
from evop_deap.calibration.calibration_set import CalibrationSet
from evop_deap.calibration.manifest_shapes import ManifestEntry
from evop_deap.calibration.set_files import CALIBRATION_FILE, WINDOWS_FILE
from evop_deap.text.tokens import tokenizer_fingerprint
from evop_deap.text.window_set import WindowSet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PARTS = ("calibration", "heldout")
_MAYBE = ("validation", "compensation")  # a small corpus has no text left for them


def save_calibration(folder: Path, made: CalibrationSet) -> None:
    """Write a set into `folder`: `calibration.json`, its manifest, and `windows.npz`.

    The archive holds `calibration`, `heldout` and, if they exist, `validation` and
    `compensation`, each as (windows, window) int64 token ids.

    Raises:
        OutputError: a file cannot be written.
    """
    buffer = io.BytesIO()
    parts = {name: getattr(made, name) for name in (*_PARTS, *_MAYBE)}
    arrays: dict[str, Any] = {n: part.tokens for n, part in parts.items() if part is not None}
    np.savez_compressed(buffer, **arrays)
    write_bytes(folder / WINDOWS_FILE, buffer.getvalue())
    write_json(folder / CALIBRATION_FILE, made.manifest)


def load_calibration(
    folder: Path, tokenizer: PreTrainedTokenizerBase, *, context: int | None = None
) -> CalibrationSet:
    """Load a set that `save_calibration` has written; no code in it can run.

    Args:
        folder: the folder of the set.
        tokenizer: the model's tokenizer.
        context: the longest input of the model in tokens; None for no limit.

    Raises:
        InputError: the set cannot be read, was changed, or is for another tokenizer or a longer
            context.
    """
    manifest, tokens = _read(folder)
    try:
        made = typed(ManifestEntry, manifest)
        described = {name: getattr(made, name) for name in tokens}
        parts = {
            name: WindowSet(tokens[name], part.windows, part.prefix)
            for name, part in described.items()
            if part is not None
        }
    except ValueError as error:
        raise InputError(
            f"`calibration` {folder} is not a calibration set: {CALIBRATION_FILE}: {error}"
        ) from error
    fingerprint, weights = made.tokenizer.fingerprint, made.calibration.weights
    numbers = None if weights is None else np.array(weights, dtype=np.float64)
    if any(part.fingerprint != described[name].fingerprint for name, part in parts.items()):
        raise InputError(f"`calibration` {folder} was changed: make it again")
    if numbers is not None and (
        numbers.shape != (len(parts["calibration"].tokens),)
        or not np.isfinite(numbers).all()
        or numbers.min() < 0
        or not numbers.sum() > 0
    ):
        raise InputError(
            f"`calibration` {folder} must have a weight of 0 or more for each window, not all 0"
        )
    if fingerprint != tokenizer_fingerprint(tokenizer):
        raise InputError(
            f"`calibration` {folder} was made with the tokenizer of another model "
            f"({shown(manifest['tokenizer'].get('class'))[1:-1]}): make one with this model's"
        )
    window = parts["calibration"].tokens.shape[1]
    if context is not None and window > context:
        raise InputError(
            f"`calibration` {folder} has windows of {window} tokens, but the model reads {context}"
        )
    found = (parts["calibration"], parts["heldout"], manifest, numbers)
    return CalibrationSet(*found, *(parts.get(name) for name in _MAYBE))


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.int64]]]:
    manifest = read_json(folder / CALIBRATION_FILE, f"`calibration` {folder}")
    if not isinstance(manifest, dict):
        raise InputError(f"`calibration` {folder} is not a calibration set")
    try:
        with np.load(folder / WINDOWS_FILE, allow_pickle=False) as archive:
            names = (*_PARTS, *(name for name in _MAYBE if name in manifest))
            tokens = {name: np.asarray(archive[name], dtype=np.int64) for name in names}
    except Exception as error:  # parsers of archives and arrays raise many types
        reason = one_line(getattr(error, "strerror", None) or error)
        raise InputError(f"`calibration` {folder} cannot be read: {reason}") from error
    if any(part.ndim != 2 or not part.size for part in tokens.values()):
        raise InputError(f"`calibration` {folder} is not a calibration set")
    return manifest, tokens
