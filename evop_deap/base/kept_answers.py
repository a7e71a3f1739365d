"""Answers that outlive a run: kept in the user's cache, by all that they depend on.

The name of a file is the hash of what its answer depends on. A file that cannot be read, or that
depends on something else, is not used. Keeping an answer saves time and no more, so a folder that
cannot be written is no error.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evop_deap.base.errors import OutputError
from evop_deap.base.files import write_bytes

_ON, _VALUE, _ARRAY = "depends on", "value", "array "


@dataclass(frozen=True, eq=False)
class KeptAnswer:
    """An answer.

    Attributes:
        value: plain JSON.
        arrays: arrays by name.
    """

    value: Any
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class KeptAnswers:
    """The answers in a folder, one NumPy archive each.

    Attributes:
        folder: need not exist; None keeps nothing.

    Example:
        >>> nothing = KeptAnswers(None)
        >>> nothing.keep({"question": 1}, KeptAnswer("yes"))
        >>> nothing.recall({"question": 1}) is None
        True
    """

    folder: Path | None

    def recall(self, depends_on: Mapping[str, Any]) -> KeptAnswer | None:
        """Return the answer that depends on this plain JSON; None if there is none."""
        key = _text(depends_on)
        if self.folder is None:
            return None
        try:
            with np.load(self._place(self.folder, key), allow_pickle=False) as archive:
                content = {name: archive[name] for name in archive.files}
            if content.pop(_ON).tobytes().decode() != key:
                return None
            value, names = json.loads(content.pop(_VALUE).tobytes())
            # An archive has checksums of its arrays, but not of their names.
            return KeptAnswer(value, {name: content[f"{_ARRAY}{name}"] for name in names})
        except Exception:  # readers of archives and arrays raise many types
            return None

    def keep(self, depends_on: Mapping[str, Any], answer: KeptAnswer) -> None:
        """Write an answer, unless the folder cannot be written."""
        key = _text(depends_on)
        if self.folder is None:
            return
        # The order of keys is part of an answer: it is that of a manifest.
        value = json.dumps([answer.value, list(answer.arrays)], allow_nan=False)
        texts = {_ON: key, _VALUE: value}
        content = {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
        content |= {f"{_ARRAY}{name}": array for name, array in answer.arrays.items()}
        buffer = io.BytesIO()
        # The type stubs take names for options of `savez`.
        np.savez(buffer, **content)  # type: ignore[arg-type]
        with suppress(OutputError):
            write_bytes(self._place(self.folder, key), buffer.getvalue())

    def _place(self, folder: Path, key: str) -> Path:
        return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"


@cache
def code_of(*places: str) -> str:
    """Return the SHA-256 of the source in files or folders of this package.

    An answer that depends on it is not used once the code that found it has changed.

    Args:
        places: paths in the package, such as "models" or "calibration/clustering.py".

    Example:
        >>> code_of("space") == code_of("base")
        False
    """
    package, digest = Path(__file__).parents[1], hashlib.sha256()
    for place in places:
        path = package / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(package).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _text(depends_on: Mapping[str, Any]) -> str:
    return json.dumps(depends_on, sort_keys=True, allow_nan=False)
