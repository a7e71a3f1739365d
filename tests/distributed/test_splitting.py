from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.distributed.splitting import Portion, split
from evop_deap.fitness.walk_cost import walk_costs
from evop_deap.space import Pattern

WORK, HEAD = (3, 5, 2, 4, 6, 1), 7
BITS = st.tuples(*[st.sampled_from([0, 1])] * len(WORK))
GENERATIONS = st.lists(BITS, min_size=1, max_size=12)
GROUPS = st.lists(st.integers(1, 8), min_size=1, max_size=9)


def taken(patterns: list[Pattern], groups: list[int], workers: int, whole: bool) -> list[Portion]:
    return split(patterns, groups, work=WORK, head_work=HEAD, workers=workers, whole=whole)


@given(patterns=GENERATIONS, groups=GROUPS, workers=st.integers(1, 40), whole=st.booleans())
def test_every_pattern_meets_every_group_once(
    patterns: list[Pattern], groups: list[int], workers: int, whole: bool
) -> None:
    tasks = taken(patterns, groups, workers, whole)
    met = Counter((row, group) for task in tasks for row in task.rows for group in task.groups)
    assert met == {(row, group): 1 for row in range(len(patterns)) for group in range(len(groups))}


@given(patterns=GENERATIONS, groups=GROUPS, workers=st.integers(1, 40), whole=st.booleans())
def test_the_predicted_work_is_what_the_evaluator_does(
    patterns: list[Pattern], groups: list[int], workers: int, whole: bool
) -> None:
    dense = sum(WORK) + HEAD
    for task in taken(patterns, groups, workers, whole):
        spent = walk_costs([patterns[row] for row in task.rows], WORK, HEAD).sum() * dense
        assert task.work == pytest.approx(spent * sum(groups[group] for group in task.groups))


@given(patterns=GENERATIONS, groups=GROUPS, whole=st.booleans())
def test_one_worker_repeats_no_work(
    patterns: list[Pattern], groups: list[int], whole: bool
) -> None:
    once = walk_costs(patterns, WORK, HEAD).sum() * (sum(WORK) + HEAD) * sum(groups)
    assert sum(t.work for t in taken(patterns, groups, 1, whole)) == pytest.approx(once)


def test_as_many_equal_groups_as_workers_are_not_split_by_patterns() -> None:
    patterns = [(1, 1, 1, 1, 1, 0), (0, 1, 1, 1, 1, 1)]
    tasks = taken(patterns, [4, 4, 4], 3, whole=False)
    assert [(task.rows, task.groups) for task in tasks] == [((0, 1), (g,)) for g in range(3)]


def test_patterns_that_share_a_long_prefix_stay_together() -> None:
    patterns = [(1, 1, 1, 1, 1, 0), (0, 1, 1, 1, 1, 1), (1, 1, 1, 1, 0, 1), (0, 1, 1, 1, 0, 1)]
    tasks = taken(patterns, [4], 2, whole=False)
    assert {frozenset(task.rows) for task in tasks} == {frozenset({0, 2}), frozenset({1, 3})}


def test_a_worker_that_reads_weights_gets_one_task() -> None:
    patterns = [(1, 1, 1, 1, 1, 0), (0, 1, 1, 1, 1, 1)]
    assert len(taken(patterns, [4] * 6, 2, whole=True)) == 2
    assert len(taken(patterns, [4] * 6, 2, whole=False)) == 6


def test_many_workers_share_one_group() -> None:
    patterns = [tuple(int(unit != place) for unit in range(6)) for place in range(6)]
    tasks = taken(patterns, [4], 64, whole=False)
    assert len(tasks) == 6


@pytest.mark.parametrize(("patterns", "groups"), [([], [4]), ([(1,) * 6], [])])
def test_nothing_to_do_is_no_task(patterns: list[Pattern], groups: list[int]) -> None:
    assert taken(patterns, groups, 2, whole=False) == []
