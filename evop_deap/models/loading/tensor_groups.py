"""Names for groups of tensors, such as those of a vision tower, in messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable


def grouped(names: Iterable[str], others: Collection[str]) -> str:
    """Return the modules that hold these tensors and none of the others, with counts.

    Args:
        names: names of the tensors.
        others: names of the other tensors of the model.

    Example:
        >>> grouped(["mtp.0.w", "mtp.0.b", "model.head.w"], ["model.layers.0.w"])
        'model.head (1 tensor), mtp (2 tensors)'
    """
    taken = {prefix for name in others for prefix in _prefixes(name)}
    groups = Counter(
        next((prefix for prefix in _prefixes(name) if prefix not in taken), name) for name in names
    )
    return ", ".join(
        f"{group} ({count} tensor{'s' * (count > 1)})" for group, count in sorted(groups.items())
    )


def _prefixes(name: str) -> list[str]:
    """Return the modules that a tensor is in, from the outermost to the tensor itself."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
