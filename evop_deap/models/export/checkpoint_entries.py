"""The entries of a checkpoint's folder, told by their names."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

_WEIGHTS = ("*.safetensors", "*.bin", "*.index.json")
_CONFIGURATION = ("*config*.json", "*.py", "README.md")
_TOKENIZER = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "*.model",
    "*.spm",
    "*.tiktoken",
    "bpe.codes",
    "chat_template.*",
    "additional_chat_templates",
)


def not_of_checkpoint(folder: Path) -> list[str]:
    """Return the sorted names of the entries that no checkpoint has.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as place:
        ...     for name in ("config.json", "model.safetensors", "notes.txt"):
        ...         (Path(place) / name).touch()
        ...     not_of_checkpoint(Path(place))
        ['notes.txt']
    """
    own = (*_WEIGHTS, *_CONFIGURATION, *_TOKENIZER)
    names = (entry.name for entry in folder.iterdir())
    return sorted(name for name in names if not any(fnmatch(name, one) for one in own))
