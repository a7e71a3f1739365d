"""The references of a checkpoint to Python files that came with the dense model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FIELD = "auto_map"
_FILES = (
    "config.json",
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
)


def settle_own_code(folder: Path, model: PreTrainedModel) -> None:
    """Remove references to Python files that are not in a checkpoint, or copy the files.

    A model of transformers' own classes needs no such file, but keeps the `auto_map` of the
    configuration it was loaded from. A model of other classes gets the files of its local folder.

    Args:
        folder: the checkpoint that was written.
        model: the model that was loaded.
    """
    is_own = not type(model).__module__.startswith("transformers.")
    source = Path(model.config._name_or_path)
    for path in (folder / name for name in _FILES):
        if not path.is_file():
            continue
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lacking = [
            name for name in _files_named(fields.get(_FIELD)) if not (folder / name).exists()
        ]
        if lacking and is_own and source.is_dir():
            for code in source.glob("*.py"):
                shutil.copy(code, folder)
        elif lacking:
            del fields[_FIELD]
            path.write_text(json.dumps(fields, indent=2, ensure_ascii=False), encoding="utf-8")


def _files_named(references: Any) -> list[str]:
    """Return the files that an `auto_map` names; one on a hub, as in "repo--file.Class", is none.

    Example:
        >>> _files_named({"AutoConfig": "own.Config", "AutoTokenizer": [None, "a/b--own.Fast"]})
        ['own.py']
    """
    values = references.values() if isinstance(references, dict) else ()
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    named = [one for one in flat if isinstance(one, str) and "--" not in one]
    return [f"{one.rpartition('.')[0].replace('.', '/')}.py" for one in named]
