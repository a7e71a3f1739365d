"""Division of a memory budget between the walk and the kept states."""

from __future__ import annotations

from dataclasses import dataclass

EVALUATED_TOGETHER = 8
"""Largest number of patterns whose predictions are evaluated in one call."""

_TOGETHER = 64  # largest number of patterns in a stacked walk
_LEAST_TOGETHER = 8


@dataclass(frozen=True)
class MemoryPlan:
    """The division of the memory budget. A state is the hidden state of one group of windows.

    Attributes:
        stacked: whether branches are stacked.
        group: number of windows computed together.
        together: number of patterns in a stacked walk.
        stack: number of states in one stacked call of a block, initially.
        kept: number of states of each group kept for the next call.

    Example:
        >>> MemoryPlan.within(910, windows=8, blocks=30, most=8, whole=8, stacked=False)
        MemoryPlan(stacked=False, group=8, together=1, stack=1, kept=37)
    """

    stacked: bool
    group: int
    together: int
    stack: int
    kept: int

    @classmethod
    def within(
        cls, states: int, *, windows: int, blocks: int, most: int, whole: int, stacked: bool
    ) -> MemoryPlan:
        """Divide room for `states` hidden states of one window.

        Args:
            states: number of hidden states of one window that fit in memory.
            windows: number of windows of the calibration set.
            blocks: number of blocks of the model.
            most: largest number of windows of a group.
            whole: the number of windows of a group must divide this.
            stacked: whether to stack branches if there is room.
        """
        # With room for few states, it is better to follow branches one by one.
        stacked = stacked and states >= 4 * _LEAST_TOGETHER
        together = min(_TOGETHER, states // 4) if stacked else 1
        # Stacked, a step holds the input and the output of each branch. Depth first, one state
        # waits at each depth, plus the entrance and the outputs that are evaluated together.
        walking = 2 * together if stacked else blocks + EVALUATED_TOGETHER + 1
        group = _largest_part(whole, max(1, min(most, states // (2 * walking))))
        groups = -(-windows // group)
        return cls(
            stacked=stacked,
            group=group,
            together=together,
            stack=max(1, states // (2 * group)) if stacked else 1,
            # Half of the rest: the walk may still use states that were removed meanwhile.
            kept=max(0, states // group - walking) // 2 // groups,
        )


def _largest_part(whole: int, most: int) -> int:
    """The largest divisor of `whole` that is at most `most`."""
    return next(part for part in range(min(whole, most), 0, -1) if whole % part == 0)
