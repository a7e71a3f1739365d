from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.distributed.simulated_search import (
    Durations,
    Request,
    asynchronous,
    requests_until_found,
    seconds_of_requests,
)
from benchmarks.distributed.workers import durations_of, generations, main
from benchmarks.landscapes import DEMO_LANDSCAPE
from benchmarks.search.quality import opened

TINY = DEMO_LANDSCAPE.with_name("tiny12.blocks.5.npz")
EXACT = Durations(dense=8.0, task=0.0)


@pytest.mark.slow
def test_a_search_is_recorded_until_the_optimum_is_known_on_all_windows() -> None:
    problem = opened(TINY)[1]
    requests, count = requests_until_found(TINY, batch=8, seed=1, most=200)
    *before, last = requests
    seen = [p for request in before for p in request.patterns if request.windows == 8]
    best = problem.fitness.evaluate(last.patterns).losses.min()
    assert best == pytest.approx(problem.best)
    assert problem.fitness.evaluate(seen).losses.min() > problem.best
    assert len({p for request in requests for p in request.patterns}) >= count - 8


def test_seconds_are_those_of_the_work_and_of_the_driver() -> None:
    landscape = opened(DEMO_LANDSCAPE)[0]
    whole = (1,) * len(landscape.units)
    asked = [Request(0.5, (whole,), 8), Request(0.5, (whole,), 4)]
    clock, busy = seconds_of_requests(DEMO_LANDSCAPE, asked, 1, EXACT, groups=8)
    assert clock == pytest.approx(1.0 + 8.0 + 4.0)
    assert busy == pytest.approx(12.0)
    clock, busy = seconds_of_requests(DEMO_LANDSCAPE, asked, 8, EXACT, groups=8)
    assert clock == pytest.approx(1.0 + 1.0 + 1.0)
    assert busy == pytest.approx(12.0)


def test_asynchronous_workers_are_never_more_than_busy() -> None:
    clock, busy, count = asynchronous(DEMO_LANDSCAPE, 4, seed=0, most=8, durations=EXACT)
    assert 3 * clock < busy <= 4 * clock
    assert 4 <= count <= 8


def test_more_workers_are_sooner_done_with_a_generation() -> None:
    for row in generations(DEMO_LANDSCAPE, EXACT):
        ratios = [*row["speedup"].values()]
        assert ratios[0] == 1
        assert ratios == sorted(ratios)
        assert all(ratio <= workers + 1e-9 for workers, ratio in row["speedup"].items())


def test_durations_are_read_from_a_measurement(tmp_path: Path) -> None:
    tasks = [[1.0, 0.25], [3.0, 0.25]]
    report = {"tasks": tasks, "seconds": {"1": [4.5], "2": [2.2]}, "busy": {"1": [4.0], "2": [4.0]}}
    (tmp_path / "recorded.json").write_text(json.dumps(report))
    found = durations_of(tmp_path / "recorded.json", None)
    assert found == Durations(dense=8.0, task=0.5, spread=(0.5, 1.5))
    assert durations_of(tmp_path / "recorded.json", 60.0).dense == 60.0


@pytest.mark.parametrize("text", [None, "{", "{}", '{"tasks": []}', '{"tasks": 1}'])
def test_durations_that_cannot_be_read_are_refused_in_one_line(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recorded.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["--recorded", str(path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: `recorded` {path}")


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf"])
def test_a_dense_pass_takes_some_time(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--dense-seconds", seconds])
    assert ended.value.code == 2
    assert "`dense_seconds` must be above 0, but got" in capsys.readouterr().err
