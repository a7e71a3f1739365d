"""The split of a generation into tasks for several workers.

A sum depends only on its pattern and on the group of windows that is computed together, so a task
is some patterns on some whole groups. A split by groups repeats no work. A split by patterns
repeats the prefixes that both sides share, so it follows the generation's prefix tree.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from evop_deap.space import Pattern

_WORTH = 0.98  # more parts must end sooner by this factor, because they repeat work


@dataclass(frozen=True)
class Portion:
    """Some patterns on some groups of windows, for one worker.

    Attributes:
        rows: positions of the patterns, neighbours in the prefix tree next to each other.
        groups: numbers of the groups of windows.
        work: predicted multiply-adds, in any unit that is the same for all tasks.
    """

    rows: tuple[int, ...]
    groups: tuple[int, ...]
    work: int


def split(
    patterns: Sequence[Pattern],
    groups: Sequence[int],
    *,
    work: Sequence[int],
    head_work: int,
    workers: int,
    whole: bool = False,
) -> list[Portion]:
    """Return tasks that `workers` equally fast workers finish soonest, the largest first.

    Args:
        patterns: the generation.
        groups: number of windows in each group.
        work: multiply-adds of each unit per token.
        head_work: multiply-adds of the head per token.
        workers: number of workers, at least 1.
        whole: give each worker as few tasks as possible, because each has a cost of its own,
            such as a pass over weights in a file.

    Example:
        >>> split([(1, 0), (0, 1)], [4], work=(2, 2), head_work=1, workers=2)
        [Portion(rows=(0,), groups=(0,), work=12), Portion(rows=(1,), groups=(0,), work=12)]
        >>> split([(1, 0), (0, 1)], [4, 4], work=(2, 2), head_work=1, workers=2)
        [Portion(rows=(0, 1), groups=(0,), work=24), Portion(rows=(0, 1), groups=(1,), work=24)]
    """
    if not patterns or not groups:
        return []
    tree = _Tree.of(patterns, work, head_work)
    # Beyond this, parts are smaller than an even split over the workers asks for.
    most = min(len(patterns), 2 * -(-workers // len(groups)) + 2)
    best: list[list[Portion]] = []
    soonest = float("inf")
    for parts in range(1, most + 1):
        tasks = [
            Portion(rows, (group,), segment * size)
            for rows, segment in tree.parted(parts)
            for group, size in enumerate(groups)
        ]
        hands = _dealt(tasks, workers)
        end = max(sum(task.work for task in hand) for hand in hands)
        if end < _WORTH * soonest:
            best, soonest = hands, end
    dealt = [task for hand in best for task in (_merged(hand) if whole else hand)]
    return sorted(dealt, key=lambda task: (-task.work, task.rows, task.groups))


@dataclass(frozen=True)
class _Tree:
    """The prefix tree of a generation as a sequence: each pattern, and what it adds.

    Attributes:
        order: positions of the patterns, so sorted that neighbours share the longest prefixes.
        alone: work of each in that order, from the first unit on.
        added: work of each beyond the prefix that it shares with the one before it.
    """

    order: tuple[int, ...]
    alone: tuple[int, ...]
    added: tuple[int, ...]

    @classmethod
    def of(cls, patterns: Sequence[Pattern], work: Sequence[int], head_work: int) -> _Tree:
        order = sorted(range(len(patterns)), key=lambda row: patterns[row], reverse=True)
        alone, added = [], []
        before: Pattern = ()
        for row in order:
            pattern = patterns[row]
            pairs = enumerate(zip(pattern, before, strict=False))
            parted = next((unit for unit, (one, other) in pairs if one != other), len(before))
            spent = [own * kept for own, kept in zip(work, pattern, strict=True)]
            alone.append(head_work + sum(spent))
            added.append(head_work + sum(spent[parted:]))
            before = pattern
        return cls(tuple(order), tuple(alone), tuple(added))

    def parted(self, parts: int) -> list[tuple[tuple[int, ...], int]]:
        """Return at most `parts` runs of neighbours, the largest as small as can be.

        Each run has its positions and its work.
        """
        low, high = max(self.alone), self.alone[0] + sum(self.added[1:])
        while low < high:
            middle = (low + high) // 2
            if len(self._within(middle)) <= parts:
                high = middle
            else:
                low = middle + 1
        return self._within(low)

    def _within(self, most: int) -> list[tuple[tuple[int, ...], int]]:
        """Return the fewest runs of which none takes more work than `most`."""
        runs: list[tuple[tuple[int, ...], int]] = []
        rows: list[int] = []
        total = 0
        for row, alone, added in zip(self.order, self.alone, self.added, strict=True):
            if rows and total + added > most:
                runs.append((tuple(rows), total))
                rows, total = [], 0
            total += added if rows else alone
            rows.append(row)
        return [*runs, (tuple(rows), total)]


def _dealt(tasks: Sequence[Portion], workers: int) -> list[list[Portion]]:
    """Deal tasks out: the largest that is left goes to the worker that has the least work."""
    hands: list[list[Portion]] = [[] for _ in range(workers)]
    least = [(0, hand) for hand in range(workers)]
    for task in sorted(tasks, key=lambda task: -task.work):
        total, hand = least[0]
        hands[hand].append(task)
        heapq.heapreplace(least, (total + task.work, hand))
    return [hand for hand in hands if hand]


def _merged(tasks: Sequence[Portion]) -> list[Portion]:
    """Join the tasks of the same patterns."""
    joined: dict[tuple[int, ...], Portion] = {}
    for task in tasks:
        other = joined.get(task.rows, Portion(task.rows, (), 0))
        groups = tuple(sorted((*other.groups, *task.groups)))
        joined[task.rows] = Portion(task.rows, groups, other.work + task.work)
    return list(joined.values())
