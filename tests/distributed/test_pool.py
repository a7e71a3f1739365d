"""Workers on a cluster of two nodes in this machine: what they find, and what happens to them."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from toy_workers import FACTS, failing_setup, logged_setup, toy_evaluator, toy_setup

from evop_deap.base.errors import InputError
from evop_deap.distributed.cluster import open_cluster
from evop_deap.distributed.pool import WorkerPool
from evop_deap.distributed.share import Share
from evop_deap.distributed.spread_evaluator import SpreadEvaluator
from evop_deap.distributed.worker import Call, WorkersError
from evop_deap.fitness.charged import ChargedEvaluator
from evop_deap.fitness.protocol import Evaluation
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.anatomy.model_units import model_units
from evop_deap.models.loading.load_model import load_model
from evop_deap.search import main
from evop_deap.space import Pattern

ray = pytest.importorskip("ray", reason="ray is not installed")
PATTERNS: list[Pattern] = [(1, 0, 1), (0, 1, 1), (1, 1, 0), (1, 1, 1)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A node of two cores; tests add and remove another one."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of workers, which import toys
        options = {"num_cpus": 2, "include_dashboard": False}
        found = Cluster(initialize_head=True, head_node_args=options)
        with open_cluster(found.address, Share(cpus=1)):
            yield found
        found.shutdown()


def calls(count: int) -> list[Call]:
    return [Call([PATTERNS[at % 4]], None, frozenset({at})) for at in range(count)]


@pytest.mark.slow
def test_workers_with_a_model_find_what_one_process_finds(
    cluster: Any, toy_checkpoint: Path
) -> None:
    model = load_model(str(toy_checkpoint)).model
    local = toy_evaluator(model, "kl")
    units, rng = model_units(find_anatomy(model)), random.Random(0)
    with WorkerPool(toy_setup(toy_checkpoint, "kl"), FACTS, Share(cpus=1)) as pool:
        assert pool.ready == 2
        spread = SpreadEvaluator(
            toy_evaluator(model, "kl"), pool, work=[unit.work for unit in units], head_work=9
        )
        one, several = (ChargedEvaluator(each, each.alone) for each in (local, spread))
        executed = []
        for windows in (None, [0], [4, 1, 2], None):
            patterns = [tuple(rng.choices([0, 1], k=len(units))) for _ in range(7)]
            expected, found = one.evaluate(patterns, windows), several.evaluate(patterns, windows)
            np.testing.assert_array_equal(found.sums, expected.sums)
            np.testing.assert_array_equal(found.costs, expected.costs)
            executed.append(found.work.executed - expected.work.executed)
    # Both workers ran the dense model once before the first pattern.
    assert executed[0] >= 2


def run_in_background(pool: WorkerPool, some: list[Call]) -> Callable[[], dict[int, Evaluation]]:
    found: dict[int, Evaluation] = {}
    thread = threading.Thread(target=lambda: found.update(dict(pool.do(some))))
    thread.start()

    def result() -> dict[int, Evaluation]:
        thread.join()
        return found

    return result


def processes(log: Path) -> list[int]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [int(line.split()[0]) for line in lines]


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.02)


def test_the_work_of_a_killed_worker_goes_to_others_and_counts_once(
    cluster: Any, tmp_path: Path
) -> None:
    log, said = tmp_path / "log", list[str]()
    setup = logged_setup(log, seconds=0.3)
    with WorkerPool(setup, FACTS, Share(cpus=1), tell=said.append) as pool:
        result = run_in_background(pool, calls(6))
        wait_until(lambda: len(set(processes(log))) == 2)
        os.kill(processes(log)[0], signal.SIGKILL)
        found = result()
    assert sorted(found) == list(range(6))
    assert [float(found[at].sums[0, 0]) for at in range(6)] == [2, 2, 2, 3, 2, 2]
    assert len(processes(log)) == 7  # one task began twice
    assert "was lost: its work goes to others" in said[0]


def test_calls_are_added_while_others_run_and_one_of_a_killed_worker_counts_once(
    cluster: Any, tmp_path: Path
) -> None:
    log, said, found = tmp_path / "log", list[str](), dict[int, float]()
    setup, some = logged_setup(log, seconds=0.3), calls(5)
    with WorkerPool(setup, FACTS, Share(cpus=1), tell=said.append) as pool:
        begun = [pool.begin(call) for call in some[:3]]
        while len(found) < 5:
            found |= {number: float(one.sums[0, 0]) for number, one in pool.ended()}
            if len(begun) == 3:
                wait_until(lambda: len(processes(log)) == 3)  # the third has begun just now
                os.kill(processes(log)[-1], signal.SIGKILL)
                begun += [pool.begin(call) for call in some[3:]]
    assert [found[number] for number in begun] == [2, 2, 2, 3, 2]
    assert len(processes(log)) == 6  # one task began twice
    assert "was lost: its work goes to others" in said[0]


@pytest.mark.slow
def test_a_search_without_generations_that_wait_keeps_the_workers_busy(
    cluster: Any, run_settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, output, plain = tmp_path / "search.yaml", tmp_path / "run", tmp_path / "plain"
    config.write_text(yaml.safe_dump({**run_settings, "sparsity": 0.4, "stop_when_sure": None}))
    command = ["--config", str(config), "--json", "--output"]

    def evaluations(*flags: str) -> int:
        assert main([*command, *flags]) == 0
        return int(json.loads(capsys.readouterr().out)["evaluations"])

    begun = [str(output), "--workers", "2", "--asynchronous", "--generations", "1"]
    assert evaluations(*begun) == 3 + 2
    assert evaluations(str(output), "--resume", "--generations", "2") == 3 + 2 * 2
    # One process goes on, by generations.
    alone = ["--workers", "1", "--no-asynchronous", "--generations", "3"]
    assert evaluations(str(output), "--resume", *alone) == 3 + 3 * 2
    evaluations(str(plain), "--generations", "9")
    found, expected = (
        json.loads((folder / "checkpoint.json").read_text())["rows"] for folder in (output, plain)
    )
    common = found.keys() & expected.keys()
    assert len(common) >= 9
    for pattern in common:  # a race may have ended before all windows
        known = min(len(found[pattern]), len(expected[pattern]))
        assert found[pattern][:known] == expected[pattern][:known]


@pytest.mark.slow
def test_a_node_that_joins_works_and_one_that_leaves_is_done_without(
    cluster: Any, tmp_path: Path
) -> None:
    log, said = tmp_path / "log", list[str]()
    setup = logged_setup(log, seconds=0.5)
    with WorkerPool(setup, FACTS, Share(cpus=2), tell=said.append) as pool:
        assert pool.ready == 1
        result = run_in_background(pool, calls(24))
        node = cluster.add_node(num_cpus=2)
        wait_until(lambda: len(set(processes(log))) == 2)
        cluster.remove_node(node, allow_graceful=False)
        found = result()
    assert sorted(found) == list(range(24))
    assert [line.split(" on ")[0] for line in said[:2]] == ["a worker joined", "a worker"]
    assert "was lost" in said[1]


@pytest.mark.slow
def test_without_a_worker_it_waits_and_then_says_how_to_go_on(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=3)
    setup = logged_setup(tmp_path / "log", seconds=0.2)
    with WorkerPool(setup, FACTS, Share(cpus=3), patience=2) as pool:
        cluster.remove_node(node, allow_graceful=False)
        with pytest.raises(WorkersError, match="no node had room for one, which takes 3 cores"):
            dict(pool.do(calls(4)))


def test_a_worker_that_differs_is_refused_by_name(cluster: Any, tmp_path: Path) -> None:
    setup = logged_setup(tmp_path / "log", 0, facts={"torch": "2.6"})
    expected = r"the worker on \S+ cannot be used: torch is 2.6 there and 2.7 here"
    with (
        pytest.raises(WorkersError, match=expected),
        WorkerPool(setup, {"torch": "2.7"}, Share(cpus=1)),
    ):
        pass


def test_a_node_without_the_model_is_refused_by_name(cluster: Any) -> None:
    setup = failing_setup(InputError, "`model` must be a hub id, but got 'x'")
    expected = r"the worker on \S+ cannot be used: `model` must be a hub id, but got 'x'"
    with pytest.raises(WorkersError, match=expected), WorkerPool(setup, FACTS, Share(cpus=1)):
        pass


def test_too_large_a_share_is_refused_at_once(cluster: Any, tmp_path: Path) -> None:
    setup = logged_setup(tmp_path / "log", 0)
    expected = "no node has room for one, which takes 99 cores"
    with pytest.raises(WorkersError, match=expected), WorkerPool(setup, FACTS, Share(cpus=99)):
        pass
