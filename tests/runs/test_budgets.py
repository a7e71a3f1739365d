"""Several budgets in one run: what each keeps, what they share, and how a killed one goes on."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from forked_searches import run_and_kill
from hypothesis import given
from hypothesis import strategies as st
from toy_landscapes import toy_landscape
from transformers import AutoModelForCausalLM

from benchmarks.search import budget_curve
from evop_deap import Curve, SearchConfig, load_run, run_budgets, run_search
from evop_deap.base.errors import InputError
from evop_deap.evolution.genome import Genome
from evop_deap.evolution.grown_patterns import grow
from evop_deap.evolution.stopping import EXHAUSTED
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.report import main as report
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.storage.checkpoint import load_checkpoint
from evop_deap.runs.storage.folder import RunFolder
from evop_deap.search import main
from evop_deap.space import SearchSpace, Unit, dropped_units
from evop_deap.surrogate.preference import Surrogate, prefer

SHARES = (0.2, 0.4, 0.6)
PER_RUN = [
    "calibration.json", "checkpoint.json", "config.yaml", "history.jsonl",
    "layer_drop_config.txt", "mergekit.yaml", "model", "report.html", "result.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def settings(toy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    rows = [{"text": f"Text {i} is about the number {i * i}. " * 4} for i in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        "--model", str(toy_checkpoint), "--corpus", str(path), "--window", "16",
        "--tokens", "64", "--heldout-tokens", "64", "--population", "2", "--tournament", "2",
        "--offspring", "1", "--generations", "2", "--quiet", "--no-cache",
        "--compensate", "off",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def curve(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "run"
    assert main([*settings, "--sparsity", "0.4,0.2,0.6", "--output", str(output)]) == 0
    return output


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: timeless(item) for name, item in value.items() if name != "seconds"}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def assert_same_outcome(output: Path, expected: Path) -> None:
    assert names(output) == names(expected)
    assert timeless(read(output / "curve.json")) == timeless(read(expected / "curve.json"))
    for share in SHARES:
        one, other = (RunFolder(folder).budget(share) for folder in (output, expected))
        assert names(one.path) == names(other.path)
        assert timeless(read(one.result)) == timeless(read(other.result))
        assert (one.model / "model.safetensors").read_bytes() == (
            other.model / "model.safetensors"
        ).read_bytes()
        rows = [load_run(folder.path).rows for folder in (one, other)]
        assert timeless(list(rows[0])) == timeless(list(rows[1]))


def test_every_budget_is_an_ordinary_run_and_the_curve_lies_beside_them(curve: Path) -> None:
    assert names(curve) == [
        "config.yaml", "curve.json", "report.html", "sparsity-0.2", "sparsity-0.4", "sparsity-0.6",
    ]  # fmt: skip
    for count, share in enumerate(SHARES, start=1):
        folder = RunFolder(curve).budget(share).path
        assert names(folder) == PER_RUN
        run = load_run(folder)
        assert run.settings["sparsity"] == share
        assert len(run.result.dropped) == count
        model = AutoModelForCausalLM.from_pretrained(folder / "model")
        assert sum(p.numel() for p in model.parameters()) == run.result.parameters["pruned"]


def test_the_curve_says_what_the_runs_say(curve: Path) -> None:
    written = read(curve / "curve.json")
    assert [row["sparsity"] for row in written["budgets"]] == [0.2, 0.4, 0.6]
    for row in written["budgets"]:
        result = read(curve / row["folder"] / "result.json")
        assert row["parameters"] == result["parameters"]["pruned"]
        assert written["dense"]["parameters"] == result["parameters"]["dense"]
        for name in ("dropped", "evaluations", "cost"):
            assert row[name] == result[name]
        for text in ("calibration", "heldout"):
            for figure in ("loss", "perplexity"):
                assert row[text][figure] == result[text][figure]["pruned"]
                assert written["dense"][text][figure] == result[text][figure]["dense"]


def test_costs_add_up_with_the_dense_model_paid_for_once(curve: Path) -> None:
    written, spent = read(curve / "curve.json"), 0.0
    for row in written["budgets"]:
        run = load_run(curve / row["folder"])
        assert run.result is not None
        last_look = run.result.validation["cost"]
        own = run.rows[-1]["cost"] + last_look
        assert row["cost"] == pytest.approx(own + 1, rel=1e-12)
        spent += own
    assert written["total"]["cost"] == pytest.approx(spent + 1)
    evaluations = [row["evaluations"] for row in written["budgets"]]
    assert written["total"]["evaluations"] == sum(evaluations)


def test_the_smallest_budget_is_searched_as_it_is_alone(
    settings: list[str], curve: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    assert main([*settings, "--sparsity", "0.2", "--output", str(alone)]) == 0
    first = RunFolder(curve).budget(0.2).path
    assert timeless(read(alone / "result.json")) == timeless(read(first / "result.json"))


def test_a_budget_knows_what_those_before_it_have_paid_for(curve: Path) -> None:
    known: list[set[Any]] = []
    for share in SHARES:
        path = RunFolder(curve).budget(share).checkpoint
        known.append(set(load_checkpoint(path, read(path)["identity"]).rows))
    assert known[0] < known[1] < known[2]
    assert {len(dropped_units(pattern)) for pattern in known[2]} >= {0, 1, 2, 3}


def test_the_whole_run_is_told_in_one_table_and_on_one_page(
    settings: list[str], curve: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--resume", "--output", str(curve), "--quiet"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["dense", "0.2", "0.4", "0.6"]
    for row, line in zip(read(curve / "curve.json")["budgets"], lines[3:6], strict=True):
        assert line.endswith(", ".join(row["dropped"]))
        assert f"{row['heldout']['perplexity']:.2f}" in line
    page = (curve / "report.html").read_text()
    assert "Perplexity by size" in page
    assert report([str(curve), "--output", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text() == page
    capsys.readouterr()
    main(["--resume", "--output", str(curve), "--quiet", "--json"])
    assert json.loads(capsys.readouterr().out) == read(curve / "curve.json")


def test_the_settings_written_repeat_the_run(curve: Path, tmp_path: Path) -> None:
    config = curve / "config.yaml"
    assert yaml.safe_load(config.read_text())["sparsity"] == [0.2, 0.4, 0.6]
    again = str(tmp_path / "again")
    assert main(["--config", str(config), "--output", again, "--quiet"]) == 0
    assert_same_outcome(tmp_path / "again", curve)


def test_the_function_returns_what_the_command_writes(curve: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load((curve / "config.yaml").read_text())
    config, begun = SearchConfig(**{**settings, "sparsity": 0.5}), []

    class Listener(Progress):
        def budget(self, folder: Path, text: str) -> None:
            begun.append(folder.name)

    found = run_budgets(config, (0.6, 0.2, 0.4), tmp_path / "run", progress=Listener())
    assert isinstance(found, Curve)
    assert found.as_dict() == read(tmp_path / "run" / "curve.json")
    assert begun == list(found.folders) == ["sparsity-0.2", "sparsity-0.4", "sparsity-0.6"]
    assert [result.sparsity for result in found.results] == [0.2, 0.4, 0.6]


def picked(settings: list[str], method: str, output: Path) -> list[dict[str, Any]]:
    """What a rule picks at two budgets, as the curve tells it."""
    more = ["--sparsity", "0.2,0.4", "--method", method, "--output", str(output)]
    assert main([*settings, *more]) == 0
    rows: list[dict[str, Any]] = read(output / "curve.json")["budgets"]
    return rows


def test_a_rule_picks_at_every_budget(settings: list[str], tmp_path: Path) -> None:
    rows = picked(settings, "last", tmp_path / "run")
    assert [row["dropped"] for row in rows] == [["3"], ["2", "3"]]  # block 4 is the final one


def test_a_greedy_rule_goes_on_from_what_it_dropped_at_the_budget_before(
    settings: list[str], tmp_path: Path
) -> None:
    rows = picked(settings, "sleb", tmp_path / "run")
    assert [len(row["dropped"]) for row in rows] == [1, 2]
    assert set(rows[0]["dropped"]) < set(rows[1]["dropped"])
    assert rows[1]["cost"] < rows[0]["cost"] + rows[1]["evaluations"]


def test_halves_in_pairs_have_several_budgets_too(settings: list[str], tmp_path: Path) -> None:
    more = ["--sparsity", "0.2,0.4", "--granularity", "half", "--repackable"]
    assert main([*settings, *more, "--output", str(tmp_path / "run")]) == 0
    rows = read(tmp_path / "run" / "curve.json")["budgets"]
    assert [len(row["dropped"]) for row in rows] == [2, 4]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--sparsity", "0.2,0.2"], "`sparsity` holds 0.2 twice"),
        (["--sparsity", "0.4,0.2,0.41"], "`sparsity` 0.4 and 0.41 both drop 2 of 5 units"),
        (["--sparsity", "0.2,1.5"], "`sparsity` must be above 0 and below 1, but got 1.5"),
        (["--sparsity", "0.2,0.05"], "rounds to none of 5 units"),
        (["--sparsity", "0.2,much"], "'0.2,much' must be a share such as 0.2, or several"),
        (["--sparsity", "0.2,"], "must be a share"),
        (["--sparsity", "0.2,0.4", "--budget", "units=2"], "but got both: --sparsity 0.2"),
        (["--sparsity", "0.2,0.8", "--protect", "0", "1"], "fewer than the 4 to drop"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_budgets_that_make_no_sense_are_refused_in_one_line(
    settings: list[str],
    more: list[str],
    says: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    try:
        code = main([*settings, *more, "--output", str(tmp_path / "run")])
    except SystemExit as stop:
        code = stop.code
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert names(tmp_path) == []


def rows_reach(folder: RunFolder, count: int) -> bool:
    return folder.history.exists() and folder.history.read_text().count("\n") >= count


MOMENTS: dict[str, Callable[[RunFolder], bool]] = {
    "the settings are written": lambda run: run.config.exists(),
    "the first budget is searched": lambda run: rows_reach(run.budget(0.2), 1),
    "the first budget is done": lambda run: run.budget(0.2).result.exists(),
    "the second budget begins": lambda run: run.budget(0.4).config.exists(),
    "the second budget is searched": lambda run: rows_reach(run.budget(0.4), 2),
    "the second budget is exported": lambda run: run.budget(0.4).model.exists(),
    "the last budget is done": lambda run: run.budget(0.6).result.exists(),
}
OFTEN = {"the first budget is done", "the second budget is searched"}


@pytest.mark.parametrize(
    "moment",
    [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in MOMENTS],
)
def test_a_run_killed_when(moment: str, settings: list[str], curve: Path, tmp_path: Path) -> None:
    """…resumes and ends like one that was not."""
    output = tmp_path / "run"
    begin = [*settings, "--sparsity", "0.2,0.4,0.6", "--output", str(output)]
    code = run_and_kill(begin, lambda: MOMENTS[moment](RunFolder(output)))
    assert code == -signal.SIGKILL
    assert main(["--output", str(output), "--resume", "--quiet"]) == 0
    assert_same_outcome(output, curve)


def test_a_finished_budget_is_not_searched_or_exported_again(
    curve: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in curve.glob("*/result.json")}
    assert main(["--output", str(curve), "--resume"]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "sparsity 0.2: nothing is left to search: it stopped after" in capsys.readouterr().err


def test_a_budget_without_patterns_left_is_finished(settings: list[str], tmp_path: Path) -> None:
    words = ["--output", str(tmp_path), "--quiet", "--generations", "50"]
    sure = ["--sparsity", "0.2,0.4", "--stop-when-sure", "off"]
    assert main([*settings, *sure, *words]) == 0
    results = sorted(tmp_path.glob("*/result.json"))
    assert {json.loads(path.read_text())["stopped"] for path in results} == {EXHAUSTED}
    before = [path.read_text() for path in results]
    assert main([*words, "--resume"]) == 0
    assert [path.read_text() for path in results] == before


def test_resuming_with_a_later_end_goes_on_at_every_budget(
    settings: list[str], tmp_path: Path
) -> None:
    output = str(tmp_path / "run")
    main([*settings, "--sparsity", "0.2,0.4", "--generations", "1", "--output", output])
    assert main(["--output", output, "--resume", "--quiet", "--generations", "3"]) == 0
    for share in (0.2, 0.4):
        rows = load_run(RunFolder(tmp_path / "run").budget(share).path).rows
        assert [row["gen"] for row in rows] == [0, 1, 2, 3]


def test_one_budget_and_several_do_not_go_on_with_each_other(
    settings: list[str], curve: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resume = [*settings, "--resume", "--output", str(curve)]
    assert main([*resume, "--sparsity", "0.2"]) == 2
    assert "has sparsity ['0.2', '0.4', '0.6'], but got 0.2" in capsys.readouterr().err
    assert main([*resume, "--sparsity", "0.2,0.4"]) == 2
    assert "but got ['0.2', '0.4']" in capsys.readouterr().err
    assert main([*resume, "--sparsity", "0.6,0.4,0.2"]) == 0
    config = SearchConfig(**yaml.safe_load((curve / "sparsity-0.2/config.yaml").read_text()))
    with pytest.raises(InputError, match="is over several of `sparsity`, but got one"):
        run_search(config, curve, resume=True)


def test_run_search_dispatches_on_the_number_of_budgets(curve: Path) -> None:
    config = SearchConfig(**yaml.safe_load((curve / "config.yaml").read_text()))
    assert config.sparsity == SHARES
    written = read(curve / "curve.json")
    for found in (
        run_search(config, curve, resume=True),
        run_budgets(config, SHARES, curve, resume=True),
    ):
        assert isinstance(found, Curve)
        assert timeless(found.as_dict()) == timeless(written)
    with pytest.raises(InputError, match="`sparsities` must hold two shares or more, but got 0.2"):
        run_budgets(config, (0.2,), curve)


def test_overwriting_replaces_one_budget_by_several_and_back(
    settings: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "run"
    arguments = [*settings, "--output", str(output), "--generations", "0"]
    main([*arguments, "--sparsity", "0.2,0.4"])
    (output / "sparsity-0.2" / "notes.txt").touch()
    assert main([*arguments, "--sparsity", "0.4,0.6"]) == 2
    assert main([*arguments, "--sparsity", "0.4", "--overwrite"]) == 0
    assert names(output) == sorted([*PER_RUN, "sparsity-0.2"])
    assert names(output / "sparsity-0.2") == ["notes.txt"]
    assert main([*arguments, "--sparsity", "0.4,0.6", "--overwrite"]) == 0
    assert names(output) == [
        "config.yaml", "curve.json", "report.html", "sparsity-0.2", "sparsity-0.4", "sparsity-0.6",
    ]  # fmt: skip


def test_a_run_over_several_budgets_is_no_run_to_be_read(curve: Path) -> None:
    with pytest.raises(InputError, match=r"for each of several budgets: name one of them .*0\.2"):
        load_run(curve)


def test_the_benchmark_compares_one_run_with_a_run_for_each_budget(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    sizes = [item for item in settings if item not in ("--quiet", "--tournament")][:10]
    more = ["--sparsity", "0.2,0.4", "--population", "3", "--offspring", "1", "--json", str(path)]
    budget_curve.main([*sizes, *more, "--generations", "1", "--seeds", "0"])
    (run,) = read(path)["runs"]
    assert [row["sparsity"] for row in run["together"]["budgets"]] == [0.2, 0.4]
    first, alone = (run[way]["budgets"][0] for way in ("together", "apart"))
    assert timeless(first) == timeless(alone)
    apart = [row["cost"] for row in run["apart"]["budgets"]]
    assert run["apart"]["cost"] == pytest.approx(sum(apart))
    together = [row["cost"] for row in run["together"]["budgets"]]
    assert run["together"]["cost"] == pytest.approx(sum(together) - 1)
    assert f"{run['together']['cost']:.1f}" in capsys.readouterr().out.splitlines()[-2]


@given(st.randoms(use_true_random=False), st.integers(2, 8), st.integers(1, 12))
def test_what_grows_meets_the_budget_and_holds_what_it_grew_from(
    rng: random.Random, size: int, known: int
) -> None:
    units = tuple(Unit(str(i), 1, 1) for i in range(10))
    small = SearchSpace(units, n_drop=1, protected=frozenset({3}))
    space = SearchSpace(units, n_drop=size, protected=frozenset({3}))
    losses = {small.pattern([u]): rng.random() for u in rng.sample(small.droppable, min(known, 9))}
    grown = grow(losses, space)
    assert 1 <= len(grown) <= 4
    assert all(pattern in space for pattern in grown)
    (best,) = dropped_units(min(losses, key=losses.__getitem__))
    assert not grown[0][best]


def test_growing_adds_what_good_patterns_agree_on() -> None:
    units = tuple(Unit(str(i), 1, 1) for i in range(6))
    two, three = (SearchSpace(units, n_drop=count) for count in (2, 3))
    losses = {
        two.pattern(gone): loss for gone, loss in [((0, 1), 1.0), ((2, 4), 1.1), ((4, 5), 1.2)]
    }
    assert [dropped_units(pattern) for pattern in grow(losses, three)] == [
        (0, 1, 4), (0, 2, 4), (0, 4, 5),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_losses_of_smaller_budgets_tell_the_surrogate_good_patterns_from_bad_ones(
    seed: int,
) -> None:
    landscape = toy_landscape(seed, units=9, drops=(0, 1, 2, 3))
    evaluator = CachedEvaluator(TabularEvaluator(landscape))
    spaces = [SearchSpace(landscape.units, n_drop=count) for count in (1, 2, 3)]
    rng, losses = random.Random(seed), landscape.losses
    evaluator.evaluate([spaces[0].dense])
    evaluator.evaluate([spaces[0].pattern([unit]) for unit in range(9)])
    pairs = [p for p in landscape.rows if p in spaces[1]]
    evaluator.evaluate(rng.sample(pairs, 20))
    triples = [Genome(pattern) for pattern in landscape.rows if pattern in spaces[2]]
    chosen = prefer(triples, 8, surrogate=Surrogate(), evaluator=evaluator, space=spaces[2]).chosen
    found = np.mean([losses[landscape.rows[genome.pattern]] for genome in chosen])
    # No pattern of this size was ever seen: chance alone would choose an average one.
    assert found < np.quantile([losses[landscape.rows[g.pattern]] for g in triples], 0.2)
