"""A bounded store of hidden states for the next generation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch

Prefix = tuple[int, ...]
"""Positions of the steps taken so far, in order; they determine the hidden state."""


class KeptStates:
    """Hidden states by group of windows and prefix; the least recently used is removed first.

    States at which patterns diverge are kept, because later children of the same parents can
    start from them. The content depends only on the patterns evaluated, so it can be restored by
    name: the state of a restored prefix is recomputed when it is needed.

    Args:
        capacity: number of states of each group.

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
        """The longest stored prefix of `kept`; empty if there is none."""
        states = self._groups.get(group, OrderedDict())
        return next((kept[:n] for n in range(len(kept), 0, -1) if kept[:n] in states), ())

    def get(self, group: int, prefix: Prefix) -> torch.Tensor | None:
        """The state of a stored prefix; None if it was only restored by name."""
        states = self._groups[group]
        states.move_to_end(prefix)
        return states[prefix]

    def put(self, group: int, prefix: Prefix, hidden: torch.Tensor) -> None:
        """Store a state as the most recently used one."""
        if self.capacity < 1:
            return
        states = self._groups.setdefault(group, OrderedDict())
        if states.get(prefix) is None:
            # A view would keep its whole storage in memory.
            whole = hidden.untyped_storage().nbytes() == hidden.numel() * hidden.element_size()
            states[prefix] = hidden if whole else hidden.clone()
        states.move_to_end(prefix)
        if len(states) > self.capacity:
            states.popitem(last=False)

    def __contains__(self, place: tuple[int, Prefix]) -> bool:
        group, prefix = place
        return prefix in self._groups.get(group, ())

    def __len__(self) -> int:
        return sum(map(len, list(self._groups.values())))  # other threads may add groups

    @property
    def names(self) -> list[tuple[int, list[Prefix]]]:
        """Each group and its prefixes, the least recently used first."""
        return [(group, list(states)) for group, states in self._groups.items()]

    def sort_groups(self) -> None:
        """Put groups in order, whichever was first to keep a state."""
        self._groups = dict(sorted(self._groups.items()))

    def restore(self, names: Iterable[tuple[int, Sequence[Prefix]]]) -> None:
        """Restore the prefixes of `names`, without their states."""
        if self.capacity < 1:
            return
        self._groups = {
            group: OrderedDict((tuple(prefix), None) for prefix in prefixes)
            for group, prefixes in names
        }
