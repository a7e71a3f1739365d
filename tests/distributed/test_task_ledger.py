from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.base.errors import EvopError
from evop_deap.distributed.task_ledger import DEATHS, TaskLedger
from evop_deap.distributed.worker import Call
from evop_deap.fitness.protocol import Evaluation
from evop_deap.fitness.tabular import TabularEvaluator

CALL = Call([(1, 0)], None)


def found() -> Evaluation:
    return TabularEvaluator({(1, 0): 1.0}).evaluate([(1, 0)])


@given(st.lists(st.tuples(st.sampled_from(["add", "finish", "lose"]), st.integers(0, 9))))
def test_each_task_is_done_once_whatever_is_lost(steps: list[tuple[str, int]]) -> None:
    ledger, running, taken, added, lost = TaskLedger(), list[int](), list[int](), 0, 0
    for step, place in [*steps, *[("finish", 0)] * len(steps)]:
        if step == "add":
            added += ledger.add(CALL) == added
        while (task := ledger.give(())) is not None:
            assert task not in running
            running.append(task)
        if step == "finish" and running:
            ledger.finish(running.pop(place % len(running)), found())
        if step == "lose" and running and lost < DEATHS - 1:
            ledger.lose(running.pop(place % len(running)))
            lost += 1
        for task in ledger.found:
            assert ledger.take(task).losses.tolist() == [1.0]
            taken.append(task)
    assert sorted(taken) == list(range(added))


def test_a_lost_task_is_the_next_one_given() -> None:
    ledger = TaskLedger()
    first, second, third = (ledger.add(CALL) for _ in range(3))
    assert [ledger.give(()), ledger.give(())] == [first, second]
    ledger.lose(first)
    assert [ledger.give(()), ledger.give(()), ledger.give(())] == [first, third, None]


def test_a_worker_gets_windows_of_which_it_has_hidden_states() -> None:
    ledger = TaskLedger()
    other, own = (
        ledger.add(Call([(1, 0)], [0], frozenset({0}))),
        ledger.add(Call([(1, 0)], [1], frozenset({1}))),
    )
    assert ledger.give({1, 2}) == own
    assert ledger.give({1, 2}) == other


def test_what_is_dropped_is_neither_given_nor_kept_nor_lost() -> None:
    ledger = TaskLedger()
    running = ledger.add(CALL)
    ledger.give(())
    ledger.add(CALL)
    ledger.drop()
    ledger.finish(running, found())
    ledger.lose(running)
    assert (ledger.give(()), ledger.found) == (None, ())
    assert ledger.add(CALL) not in (running, running + 1)


def test_a_task_at_which_workers_die_again_and_again_is_given_up() -> None:
    ledger = TaskLedger()
    task = ledger.add(CALL)
    for _ in range(DEATHS - 1):
        assert ledger.give(()) == task
        ledger.lose(task)
    with pytest.raises(EvopError, match="5 workers died at the same patterns"):
        ledger.lose(task)
