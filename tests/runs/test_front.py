"""`--pareto`: one search for a whole front, and the points of it that are exported."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked_searches import run_and_kill
from transformers import AutoModelForCausalLM

from evop_deap import Curve, SearchConfig, load_run, run_budgets, run_front, run_search
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.storage.checkpoint import load_checkpoint
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.search import main

SHARES = (0.2, 0.6)


@pytest.fixture(scope="module")
def settings(toy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    rows = [{"text": f"Text {i} is about the number {i * i}. " * 4} for i in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        "--model", str(toy_checkpoint), "--corpus", str(path), "--window", "16", "--tokens", "64",
        "--heldout-tokens", "64", "--population", "4", "--tournament", "2", "--offspring", "3",
        "--generations", "3", "--pareto", "parameters", "--sparsity", "0.6,0.2", "--quiet",
        "--no-cache", "--compensate", "off",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def front(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "run"
    assert main([*settings, "--output", str(output)]) == 0
    return output


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: timeless(item) for name, item in value.items() if name != "seconds"}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def test_the_front_is_of_all_patterns_judged_and_every_point_lies_on_it(front: Path) -> None:
    written, curve = read(front / "front.json"), read(front / "curve.json")
    stored = load_checkpoint(
        front / "checkpoint.json", read(front / "checkpoint.json")["identity"]
    ).state
    losses = {pattern.count(0): [] for pattern in stored.losses}
    for pattern, loss in stored.losses.items():
        losses[pattern.count(0)].append(loss)
    for member in written["front"]:
        # The blocks of this model are of one size: the best of each number may be on the front.
        assert member["loss"] == min(losses[len(member["dropped"])])
    sizes = [member["parameters"] for member in written["front"]]
    assert sizes == sorted(sizes, reverse=True)
    patterns = [member["dropped"] for member in written["front"]]
    for row, least in zip(curve["budgets"], (1, 3), strict=True):
        assert len(row["dropped"]) >= least
        assert row["dropped"] in patterns
        model = AutoModelForCausalLM.from_pretrained(front / row["folder"] / "model")
        assert sum(p.numel() for p in model.parameters()) == row["parameters"]
        assert load_run(front / row["folder"]).result.dropped == tuple(row["dropped"])
    assert written["reference"]["size"] == curve["dense"]["parameters"]


def test_the_work_is_counted_once_though_every_point_needed_all_of_it(front: Path) -> None:
    curve, rows = read(front / "curve.json"), (front / "history.jsonl").read_text().splitlines()
    last = json.loads(rows[-1])
    assert [row["evaluations"] for row in curve["budgets"]] == [last["evaluations"]] * 2
    assert curve["total"]["evaluations"] == last["evaluations"] == 4 + 3 * 3
    looks = [
        read(front / row["folder"] / "result.json")["validation"]["cost"]
        for row in curve["budgets"]
    ]
    assert curve["total"]["cost"] == pytest.approx(last["cost"] + 1 + sum(looks))
    volumes = [json.loads(row)["hypervolume"] for row in rows]
    assert volumes == sorted(volumes)


def test_what_one_point_has_evaluated_serves_all_later_ones(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path / "cache"))
    cached = [word for word in settings if word != "--no-cache"]
    spent = []
    for name in ("first", "second"):
        assert main([*cached, "--output", str(tmp_path / name)]) == 0
        results = sorted((tmp_path / name).glob("*/result.json"))
        spent.append([read(path)["executed"] for path in results])
    assert len(spent[0]) == len(SHARES)
    assert sum(spent[0]) > sum(spent[1]) == 0


@pytest.mark.parametrize("granularity", ["block", "half"])
def test_milliseconds_are_measured_once_for_a_run_and_add_up(
    settings: list[str], granularity: str, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    more = ["--pareto", "latency", "--granularity", granularity, "--generations", "1"]
    assert main([*settings, *more, "--output", str(output)]) == 0
    measured, written = read(output / "latency.json"), read(output / "front.json")
    times = measured["milliseconds"]
    assert all(time >= 0 for time in times.values())
    assert len(times) == (5 if granularity == "block" else 10)
    for member in written["front"]:
        kept = sum(time for name, time in times.items() if name not in member["dropped"])
        assert member["milliseconds"] == pytest.approx(measured["rest"] + kept)
    assert main(["--resume", "--output", str(output), "--quiet", "--generations", "2"]) == 0
    assert read(output / "latency.json") == measured
    assert read(output / "front.json")["hypervolume"] >= written["hypervolume"]


def rows_reach(folder: RunFolder, count: int) -> bool:
    return folder.history.exists() and folder.history.read_text().count("\n") >= count


@pytest.mark.parametrize(
    "when",
    [lambda run: rows_reach(run, 2), lambda run: run.budget(0.2).result.exists()],
    ids=["within the search", "between the points"],
)
def test_a_killed_search_goes_on_to_the_same_front(
    when: Callable[[RunFolder], bool], settings: list[str], front: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    arguments = [*settings, "--output", str(output)]
    killed = run_and_kill(arguments, lambda: when(RunFolder(output)))
    assert killed == -signal.SIGKILL
    assert main(["--output", str(output), "--resume", "--quiet"]) == 0
    for name in ("front.json", "curve.json"):
        assert timeless(read(output / name)) == timeless(read(front / name))
    for share in SHARES:
        one, other = (RunFolder(folder).budget(share) for folder in (output, front))
        assert timeless(read(one.result)) == timeless(read(other.result))
    assert sorted(p.name for p in output.iterdir()) == sorted(p.name for p in front.iterdir())


@pytest.mark.parametrize("damage", ["no model", "no result"])
def test_a_damaged_point_is_made_again(
    damage: str, settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [word for word in settings if word != "--quiet"]
    assert main([*told, "--output", str(tmp_path)]) == 0
    spent = re.findall(r"time spent: .*", capsys.readouterr().err)
    assert [sum(map(int, re.findall(r"(\d+)%", line))) <= 103 for line in spent] == [True] * 2
    point = RunFolder(tmp_path).budget(0.2)
    before = timeless(read(point.result))
    if damage == "no model":
        shutil.rmtree(point.model)
    else:
        point.result.write_text('{"x": 1')
    assert main(["--output", str(tmp_path), "--resume", "--quiet"]) == 0
    assert point.model.is_dir()
    assert timeless(read(point.result)) == before


@pytest.mark.parametrize(
    "more", [["--method", "sleb"], ["--granularity", "half", "--repackable"]], ids=" ".join
)
def test_what_a_front_cannot_be_of_is_refused_in_one_line(
    settings: list[str], more: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*settings, *more, "--output", str(tmp_path / "run")]) == 2
    err = capfd.readouterr().err
    assert "`pareto` takes its points from --sparsity" in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("run", [run_search, run_budgets, run_front])
def test_every_entry_searches_for_the_front_that_the_settings_ask_for(
    run: Callable[..., Any], front: Path
) -> None:
    told: list[str] = []
    progress = Progress()
    progress.stage = told.append  # type: ignore[method-assign]
    written, found = read(front / "curve.json"), read(front / "front.json")
    config = SearchConfig(**yaml.safe_load((front / "config.yaml").read_text()))
    shares = () if run is run_search else (config.sparsity,)
    curve = run(config, *shares, front, resume=True, progress=progress)
    assert isinstance(curve, Curve)
    assert timeless(curve.as_dict()) == timeless(written)
    assert timeless(read(front / "front.json")) == timeless(found)
    assert any(text.startswith("nothing is left to search: it stopped after") for text in told)


def test_a_point_of_a_front_is_not_resumed_alone(
    front: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    point = front / "sparsity-0.2"
    before = {path: path.read_bytes() for path in point.rglob("*") if path.is_file()}
    assert main(["--resume", "--output", str(point), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.strip().endswith(f"{point} is a point of the front in {front}: resume that")
    monkeypatch.chdir(point)
    assert main(["--resume", "--output", ".", "--quiet"]) == 2
    assert f"is a point of the front in {front}: resume that" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in point.rglob("*") if path.is_file()} == before
