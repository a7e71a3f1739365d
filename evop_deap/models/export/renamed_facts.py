"""What a safetensors file says of its tensors by name, for tensors with new names.

torchao stores a quantised tensor as several plain ones, and how they belong together in the header
of the file: a text for each name, and a list of all names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

_NAMES = "tensor_names"


def renamed_facts(facts: Mapping[str, str], renamed: Callable[[str], str | None]) -> dict[str, str]:
    """Return the facts of kept tensors under their new names.

    Args:
        facts: texts by key, some of which are names of tensors.
        renamed: gives the new name of a tensor, or None if it is left out.

    Example:
        >>> facts = {"format": "pt", "h.0.w": "{}", "h.1.w": "[]", "tensor_names": '["h.1.w"]'}
        >>> renamed_facts(facts, {"format": "format", "h.1.w": "h.0.w"}.get)
        {'format': 'pt', 'h.0.w': '[]', 'tensor_names': '["h.0.w"]'}
    """
    found: dict[str, str] = {}
    for key, text in facts.items():
        if key == _NAMES:
            names = (renamed(name) for name in json.loads(text))
            found[key] = json.dumps([name for name in names if name is not None])
        elif (new := renamed(key)) is not None:
            found[new] = text
    return found
