"""Hidden states that wait for the next generation, as many as fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch

Prefix = tuple[int, ...]
"""Places of the steps that were taken so far, in order: what a hidden state depends on."""


class KeptStates:
    """Hidden states by window group and kept prefix; the least recently useful goes first.

    Worth keeping is a state at which patterns part ways: children of the same parents start
    from there again. What is kept depends only on what was judged, so that it can be restored
    by name: a restored prefix is there, and its state is computed anew when it is asked for.

    Args:
        capacity: states of a group.

    Example:
        >>> kept = KeptStates(capacity=1)
        >>> kept.put(0, (0, 1), torch.zeros(1, 4, 8))
        >>> kept.deepest(0, (0, 1, 3)), kept.deepest(0, (0, 2))
        ((0, 1), ())
        >>> kept.put(0, (0,), torch.zeros(1, 4, 8)); kept.deepest(0, (0, 1, 3))
        (0,)
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._groups: dict[int, OrderedDict[Prefix, torch.Tensor | None]] = {}

    def deepest(self, group: int, kept: Prefix) -> Prefix:
        """The longest prefix of `kept` that is here; empty where there is none."""
        states = self._groups.get(group, OrderedDict())
        return next((kept[:n] for n in range(len(kept), 0, -1) if kept[:n] in states), ())

    def get(self, group: int, prefix: Prefix) -> torch.Tensor | None:
        """The state of a prefix that is here; None where it was restored by name alone."""
        states = self._groups[group]
        states.move_to_end(prefix)
        return states[prefix]

    def put(self, group: int, prefix: Prefix, hidden: torch.Tensor) -> None:
        """Keep a state as the most recently useful one."""
        if self.capacity < 1:
            return
        states = self._groups.setdefault(group, OrderedDict())
        if states.get(prefix) is None:
            # A view would hold all that it is a part of.
            whole = hidden.untyped_storage().nbytes() == hidden.numel() * hidden.element_size()
            states[prefix] = hidden if whole else hidden.clone()
        states.move_to_end(prefix)
        if len(states) > self.capacity:
            states.popitem(last=False)

    def __contains__(self, place: tuple[int, Prefix]) -> bool:
        group, prefix = place
        return prefix in self._groups.get(group, ())

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    @property
    def names(self) -> list[tuple[int, list[Prefix]]]:
        """Each group and its prefixes, the least recently useful first."""
        return [(group, list(states)) for group, states in self._groups.items()]

    def restore(self, names: Iterable[tuple[int, Sequence[Prefix]]]) -> None:
        """Be as a store with these `names`, whose states are yet to be computed."""
        self._groups = {
            group: OrderedDict((tuple(prefix), None) for prefix in prefixes)
            for group, prefixes in names
        }
