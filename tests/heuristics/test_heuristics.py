"""Heuristics that need nothing but losses, against hand computations on toy tables."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_landscapes import toy_landscape

from evop_deap.base.errors import InputError
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.protocol import Evaluation
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.heuristics import METHODS, Task, method_named
from evop_deap.heuristics.angular_distance import contiguous
from evop_deap.heuristics.first_patterns import seeding_methods
from evop_deap.heuristics.task import ranked
from evop_deap.space import Pattern, SearchSpace, Unit, dropped_units
from evop_deap.space.allowances import Allowance
from evop_deap.space.unit_names import granularity_of

KNOWN = toy_landscape(drops=(1, 2, 3))
SPACE = SearchSpace(KNOWN.units, 3, frozenset({4}))
ON_TABLES = [n for n, m in METHODS.items() if not m.needs_model and "block" in m.granularities]
SEARCHING = [name for name in ON_TABLES if METHODS[name].searches]


def halves(blocks: int) -> tuple[Unit, ...]:
    return tuple(Unit(f"{i}.{kind}", 1, 1) for i in range(blocks) for kind in ("attn", "mlp"))


def task(seed: int = 0, space: SearchSpace = SPACE, **limits: float) -> Task:
    evaluator = CachedEvaluator(TabularEvaluator(KNOWN, missing=9.0))
    return Task(space, evaluator, random.Random(seed), Stopping(**limits))  # type: ignore[arg-type]


class Recording(TabularEvaluator):
    """A table that notes what each request cost."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.costs: list[float] = []

    def evaluate(
        self, patterns: Sequence[Pattern], windows: Sequence[int] | None = None
    ) -> Evaluation:
        found = super().evaluate(patterns, windows)
        self.costs.append(found.cost)
        return found


def loss_of(pattern: Pattern) -> float:
    return float(KNOWN.losses[KNOWN.rows[pattern]])


@pytest.mark.parametrize("name", ON_TABLES)
def test_a_pick_is_a_pattern_of_the_space_and_the_same_again(name: str) -> None:
    first, second = (METHODS[name](task(seed=3, evaluations=20)) for _ in range(2))
    assert first.pattern in SPACE
    assert (first.pattern, first.cost, first.order) == (second.pattern, second.cost, second.order)


@pytest.mark.parametrize("name", SEARCHING)
def test_a_searching_rule_keeps_to_its_limits(name: str) -> None:
    assert METHODS[name](task(evaluations=13)).evaluations == 13
    evaluator = Recording(KNOWN, missing=9.0)
    spent = METHODS[name](Task(SPACE, evaluator, random.Random(0), Stopping(cost=5.0)))
    # It ends after the step that passes the limit: a request, of EvoPress a generation of two.
    assert spent.cost == pytest.approx(sum(evaluator.costs))
    before_the_last = evaluator.costs[: -2 if name == "evopress" else -1]
    assert sum(before_the_last) < 5.0 <= spent.cost


@pytest.mark.parametrize("cost", [0.1, 2.0, 7.5])
@pytest.mark.parametrize("name", ["random-best", "tpe"])
def test_patterns_that_can_be_asked_for_one_by_one_pass_the_limit_by_less_than_a_pass(
    name: str, cost: float
) -> None:
    pick = METHODS[name](task(cost=cost))
    assert cost <= pick.cost < cost + 1


def test_rules_that_end_by_themselves_say_which_limits_they_do_not_heed() -> None:
    limits = Stopping(generations=60, cost=1.0, evaluations=2)
    said = "`max_cost` and `max_evaluations` do not limit sleb: it runs to its end"
    assert METHODS["sleb"].unheeded(limits) == said
    alone = "`max_seconds` does not limit last: it runs to its end"
    assert METHODS["last"].unheeded(Stopping(seconds=3)) == alone
    assert METHODS["sleb"].unheeded(Stopping(generations=60, patience=3)) is None
    assert METHODS["evopress"].unheeded(limits) is None


def test_a_rule_that_is_not_for_these_units_is_named_by_the_setting_that_asks_for_it() -> None:
    message = "`init` llm-drop is defined for `granularity` half, but got block"
    with pytest.raises(InputError, match=message):
        seeding_methods(("last", "llm-drop"), SPACE)
    assert seeding_methods(("llm-drop",), SearchSpace(halves(4), 2)) == [METHODS["llm-drop"]]


@pytest.mark.parametrize("name", ["random-best", "tpe", "nsga2", "cmaes"])
def test_a_search_picks_the_best_that_it_has_seen(name: str) -> None:
    pick = METHODS[name](task(evaluations=15))
    assert len(pick.losses) == 15
    assert pick.losses[pick.pattern] == min(pick.losses.values()) == loss_of(pick.pattern)


def test_random_draws_end_when_the_space_is_known() -> None:
    pick = METHODS["random-best"](task())
    assert pick.evaluations == SPACE.size
    best = min(loss_of(SPACE.pattern(s)) for s in itertools.combinations(SPACE.droppable, 3))
    assert loss_of(pick.pattern) == best


def test_leave_one_out_drops_the_units_that_are_cheapest_alone() -> None:
    pick = METHODS["leave-one-out"](task())
    alone = {unit: loss_of(SPACE.pattern([unit])) for unit in SPACE.droppable}
    cheapest = sorted(alone, key=lambda unit: alone[unit])
    assert list(pick.order) == cheapest
    assert dropped_units(pick.pattern) == tuple(sorted(cheapest[:3]))
    assert pick.evaluations == len(alone)
    assert pick.scores is not None
    assert [pick.scores[unit] for unit in SPACE.droppable] == pytest.approx(list(alone.values()))


def test_patterns_that_lack_one_unit_cost_about_half_a_pass_each() -> None:
    known = toy_landscape(units=30, drops=(1,))
    evaluator = TabularEvaluator(known)
    found = Task(SearchSpace(known.units, 1), evaluator, random.Random(0))
    assert METHODS["leave-one-out"](found).cost / 30 == pytest.approx(0.55, abs=0.05)


def test_sleb_drops_what_is_least_missed_beside_what_is_gone() -> None:
    pick = METHODS["sleb"](task())
    gone: list[int] = []
    for step in range(3):
        left = [unit for unit in SPACE.droppable if unit not in gone]
        gone.append(min(left, key=lambda unit: loss_of(SPACE.pattern([*gone, unit]))))
        assert pick.path[step] == SPACE.pattern(gone)
    assert pick.order == tuple(gone)
    assert pick.pattern == pick.path[-1]
    assert pick.evaluations == 8 + 7 + 6


def test_blockpruner_is_the_same_over_halves_and_for_halves_alone() -> None:
    units = halves(3)
    space = SearchSpace(units, 2)
    table = {
        pattern: 1.0 + sum((i + 1) * (1 - g) for i, g in enumerate(pattern))
        for pattern in itertools.product((0, 1), repeat=6)
    }
    # Together the two cheapest are worse than the first and the third.
    table[space.pattern([0, 1])] = 9.0
    pick = METHODS["blockpruner"](Task(space, TabularEvaluator(table), random.Random(0)))
    assert pick.order == (0, 2)
    with pytest.raises(InputError, match="`granularity` half, but got block"):
        METHODS["blockpruner"](task())


@pytest.mark.parametrize("name", ["angular", "llm-drop", "blockpruner"])
def test_a_rule_says_which_granularity_it_is_for(name: str) -> None:
    wrong = SearchSpace(halves(4), 2) if METHODS[name].granularities == ("block",) else SPACE
    with pytest.raises(InputError, match=f"`method` {name} is defined for `granularity`"):
        METHODS[name](task(space=wrong))


def test_a_rule_that_looks_into_a_model_says_so_where_there_is_none() -> None:
    with pytest.raises(InputError, match="needs a model"):
        METHODS["block-influence"](task())


def test_an_unknown_name_is_answered_with_those_known() -> None:
    with pytest.raises(InputError, match="sleb"):
        method_named("slab")


def test_the_last_blocks_go_but_for_the_final_one() -> None:
    space = SearchSpace(KNOWN.units, 2, frozenset({6}))  # of blocks 0 to 8
    assert dropped_units(METHODS["last"](task(space=space)).pattern) == (5, 7)
    everything = SearchSpace(KNOWN.units[:3], 2, frozenset({1}))
    assert dropped_units(METHODS["last"](task(space=everything)).pattern) == (0, 2)
    both = METHODS["last"](task(space=SearchSpace(halves(3), 2)))
    assert dropped_units(both.pattern) == (2, 3)


def test_runs_of_neighbours_are_all_found_and_step_over_nothing() -> None:
    runs = [dropped_units(run) for run in contiguous(SPACE)]
    assert sorted(runs) == [(0, 1, 2), (1, 2, 3), (5, 6, 7), (6, 7, 8)]


def test_what_is_no_number_goes_last() -> None:
    space = SearchSpace(KNOWN.units[:4], 1)
    assert ranked(space, [float("nan"), 2.0, 1.0, float("inf")]) == (2, 1, 0, 3)


@given(st.permutations(range(9)))
@settings(max_examples=30)
def test_greedy_drops_in_the_order_given_and_meets_the_budget(order: list[int]) -> None:
    pattern = SPACE.greedy(order)
    assert pattern in SPACE
    wanted = [unit for unit in order if unit in SPACE.droppable][:3]
    assert dropped_units(pattern) == tuple(sorted(wanted))


def test_a_unit_fits_while_the_budget_is_not_used_up() -> None:
    assert SPACE.fits([0, 1], 2)
    assert not SPACE.fits([0, 1, 2], 3)


@pytest.mark.parametrize("name", ["leave-one-out", "sleb", "last", "evopress", "nsga2"])
def test_a_rule_meets_a_budget_of_parameters(name: str) -> None:
    units = tuple(Unit(str(i), 100 + 30 * (i % 3), 10) for i in range(9))
    weights = tuple(unit.parameters for unit in units)
    space = SearchSpace.within(units, (Allowance("parameters", weights, 400),), frozenset({4}))
    evaluator = CachedEvaluator(TabularEvaluator(KNOWN, missing=9.0))
    limits = Stopping(evaluations=20)
    pick = METHODS[name](Task(space, evaluator, random.Random(0), limits))
    gone = dropped_units(pick.pattern)
    left = 400 - sum(weights[unit] for unit in gone)
    lightest = min(weights[unit] for unit in space.droppable if unit not in gone)
    assert 0 <= left < lightest
    assert 4 not in gone


def test_names_tell_blocks_from_halves() -> None:
    assert granularity_of(unit.name for unit in KNOWN.units) == "block"
    assert granularity_of(unit.name for unit in halves(2)) == "half"


def test_rules_on_tables_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from evop_deap.heuristics import METHODS\n"
        "assert len(METHODS) > 15"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
