"""The benchmarks of tuning: what they count, and what they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_landscapes import write_toy_landscape

from benchmarks.tuning import mutation, tuned_vs_default
from evop_deap.base.errors import InputError
from evop_deap.tuning.problems import landscape_problem
from evop_deap.tuning.settings_space import SettingsSpace


@pytest.fixture(scope="module")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_landscape(tmp_path_factory.mktemp("landscape") / "toy.npz", drops=(2, 3))


def report(tuned: list[float], default: list[float]) -> dict[str, Any]:
    return {
        "runs": [
            {"tuned": {"cost": t}, "default": {"cost": d}}
            for t, d in zip(tuned, default, strict=True)
        ]
    }


def test_a_reduction_is_the_share_of_means_and_every_problem_counts_the_same() -> None:
    one, other = report([5, 5], [10, 10]), report([300, 100], [400, 400])
    share, (low, high) = tuned_vs_default.reduction([one, other], "cost")
    assert share == pytest.approx(0.5)
    assert (low, high) == pytest.approx((0.375, 0.625))


def test_the_interval_keeps_both_ways_of_a_seed_together() -> None:
    default = np.random.default_rng(0).uniform(10, 1000, 20)
    share, interval = tuned_vs_default.reduction([report([*default / 2], [*default])], "cost")
    assert share == pytest.approx(0.5)
    assert interval == pytest.approx([0.5, 0.5])


def test_a_search_goes_on_until_the_optimum_is_found(landscape: Path) -> None:
    problem = landscape_problem(landscape)
    settings = SettingsSpace().effective({"racing": "off"})
    for seed in range(5):
        run = tuned_vs_default.to_optimum(problem, seed, settings)
        assert run["found"]
        assert 1 <= run["evaluations"] <= problem.space.size


def test_a_search_that_has_not_found_it_says_so_at_the_limit(landscape: Path) -> None:
    problem = landscape_problem(landscape)
    runs = [
        tuned_vs_default.to_optimum(problem, seed, SettingsSpace().effective({}), 1)
        for seed in range(5)
    ]
    assert [run["evaluations"] for run in runs] == [1] * 5
    assert not all(run["found"] for run in runs)


def test_settings_are_compared_seed_by_seed_over_landscapes_and_spaces(
    landscape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best, hand, out = (tmp_path / name for name in ("best.yaml", "hand.yaml", "out.json"))
    best.write_text("population: 4\noffspring: 2\nracing: off\n")
    hand.write_text("population: 9\n")
    arguments = ["--landscape", str(landscape), "--drop", "2", "3", "--seeds", "3"]
    arguments += ["--against", str(hand)]
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--config", str(best), "--json", str(out)])
    tuned_vs_default.main()
    found = json.loads(out.read_text())
    low, high = found["reduction_interval"]
    assert low <= found["reduction"] <= high
    assert [part["dropped"] for part in found["reports"]] == [2, 3]
    assert [run["seed"] for run in found["reports"][0]["runs"]] == [1000, 1001, 1002]
    assert [found["settings"][way]["population"] for way in ("tuned", "default")] == [4, 9]
    assert found["settings"]["tuned"]["crossover"] == found["settings"]["default"]["crossover"]
    monkeypatch.setattr(sys, "argv", ["x", *arguments[:-1], str(tmp_path / "missing.yaml")])
    with pytest.raises(InputError, match="`against` .*missing.yaml"):
        tuned_vs_default.main()


def test_success_is_counted_for_every_cell_and_drawn(
    landscape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, png = tmp_path / "out.json", tmp_path / "out.png"
    arguments = ["--landscape", str(landscape), "--rates", "0.1", "1"]
    more = ["--evaluations", "40", "--seeds", "2", "--json", str(out), "--png", str(png)]
    monkeypatch.setattr(sys, "argv", ["x", *arguments, *more])
    mutation.main()
    shares = np.array(json.loads(out.read_text())["success"])
    assert shares.shape == (len(mutation.POPULATIONS), 2)
    assert set(shares.ravel()) <= {0.0, 0.5, 1.0}
    assert png.read_bytes().startswith(b"\x89PNG")


def test_with_as_many_evaluations_as_patterns_the_optimum_is_always_found(landscape: Path) -> None:
    problem = landscape_problem(landscape)
    for seed in range(3):
        assert mutation.finds_optimum(
            problem, seed, rate=1.0, population=4, evaluations=problem.space.size
        )


@pytest.mark.parametrize(
    ("module", "more", "says"),
    [
        (tuned_vs_default, ["--seeds", "1"], "`seeds` must be at least 2"),
        (tuned_vs_default, ["--preset", "none"], "`preset` must be default"),
        (tuned_vs_default, ["--drop", "5"], "`drop` must be one of 2, 3"),
        (mutation, ["--rates", "2"], "`mutation` must be at least 0 and at most 1"),
        (mutation, ["--populations", "0"], "`population` must be at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(
    module: Any, more: list[str], says: str, landscape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = ["--preset", "default"] if module is tuned_vs_default else []
    arguments = ["x", "--landscape", str(landscape), *preset, *more]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(InputError, match=says):
        module.main()
