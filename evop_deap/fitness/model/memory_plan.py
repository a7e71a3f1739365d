"""How a memory budget is shared out between the walk and the states that are kept."""

from __future__ import annotations

from dataclasses import dataclass

JUDGED_TOGETHER = 8
"""Patterns whose predictions may be judged together, at the most."""

_TOGETHER = 64  # patterns that walk down together on an accelerator, at the most
_LEAST_TOGETHER = 8


@dataclass(frozen=True)
class Room:
    """What fits. A state is the hidden state of one group of windows.

    Attributes:
        stacked: whether branches are stacked.
        group: windows that are computed together.
        together: patterns that walk down together where branches are stacked.
        stack: states that one call of a block takes there, to begin with.
        kept: states of each group that wait for the next call.

    Example:
        >>> Room.within(910, windows=8, blocks=30, most=8, whole=8, stacked=False)
        Room(stacked=False, group=8, together=1, stack=1, kept=37)
    """

    stacked: bool
    group: int
    together: int
    stack: int
    kept: int

    @classmethod
    def within(
        cls, states: int, *, windows: int, blocks: int, most: int, whole: int, stacked: bool
    ) -> Room:
        """Share out room for `states` hidden states of one window.

        Args:
            states: of one window, that may be held at a time.
            windows: of the calibration set.
            blocks: of the model.
            most: windows of a group at the most.
            whole: a multiple of the group's windows.
            stacked: whether branches are stacked where there is room for it.
        """
        # With few states to a step, branches are better followed one by one.
        stacked = stacked and states >= 4 * _LEAST_TOGETHER
        together = min(_TOGETHER, states // 4) if stacked else 1
        # Stacked, a step holds what goes in and what comes out of each branch; depth first, a
        # state waits at each depth, beside the entrance and the outputs judged together.
        walking = 2 * together if stacked else blocks + JUDGED_TOGETHER + 1
        group = _largest_part(whole, max(1, min(most, states // (2 * walking))))
        groups = -(-windows // group)
        return cls(
            stacked=stacked,
            group=group,
            together=together,
            stack=max(1, states // (2 * group)) if stacked else 1,
            # Half of what is left: the walk may begin from states that give way meanwhile.
            kept=max(0, states // group - walking) // 2 // groups,
        )


def _largest_part(whole: int, most: int) -> int:
    """The largest divisor of `whole` that is at most `most`."""
    return next(part for part in range(min(whole, most), 0, -1) if whole % part == 0)
