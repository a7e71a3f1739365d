"""`--method` and `--init` on a toy model: the same folder, checkpoint and checks as a search."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from toy_landscapes import toy_landscape
from transformers import AutoModelForCausalLM

import evop_deap
from evop_deap.base.errors import InputError
from evop_deap.evolution.assemble import assemble
from evop_deap.evolution.parameters import EvolutionSettings
from evop_deap.evolution.state import EvolutionState
from evop_deap.evolution.stopping import Stopping
from evop_deap.fitness.cached import CachedEvaluator
from evop_deap.fitness.tabular import TabularEvaluator
from evop_deap.heuristics import METHODS, Task
from evop_deap.heuristics.first_patterns import seeding_methods, seeds_of
from evop_deap.runs.listeners.progress import Progress
from evop_deap.search import main
from evop_deap.space import SearchSpace

ENDED = ["last", "random-best", "leave-one-out", "block-influence", "angular", "evopress", "cmaes"]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    rows = [{"text": f"Document {i} tells of {['figs', 'dates'][i % 2]}. " * 4} for i in range(90)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def command(toy_checkpoint: Path, corpus: Path, tmp_path: Path) -> list[str]:
    return [
        "--model", str(toy_checkpoint), "--corpus", str(corpus), "--sparsity", "0.4",
        "--window", "16", "--tokens", "128", "--heldout-tokens", "32", "--population", "4",
        "--tournament", "2", "--offspring", "3", "--generations", "1", "--quiet", "--no-cache",
        "--output", str(tmp_path / "run"), "--compensate", "off",
    ]  # fmt: skip


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", ENDED)
def test_a_method_ends_in_a_checked_checkpoint(
    name: str, command: list[str], tmp_path: Path
) -> None:
    assert main([*command, "--method", name]) == 0
    run = tmp_path / "run"
    result = read(run / "result.json")
    assert result["method"] == name
    assert len(result["dropped"]) == 2
    assert result["surrogate"] is None
    limit = 7 if METHODS[name].searches else 5 + 4 + 1
    assert result["evaluations"] <= limit
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert rows[-1]["dropped"] == result["dropped"]
    assert sum(row["nevals"] for row in rows) == result["evaluations"]
    assert sum(row["block_tokens"] for row in rows) == result["work"]["block_tokens"]
    assert rows[-1]["cost"] + 1 == pytest.approx(result["cost"])
    model = AutoModelForCausalLM.from_pretrained(run / "model")
    assert model.config.num_hidden_layers == 3
    title = METHODS[name].title
    assert f"chosen by {title} with evop_deap" in (run / "model" / "README.md").read_text()


@pytest.mark.parametrize("name", ["blockpruner", "llm-drop"])
def test_a_method_for_halves_is_refused_for_blocks_in_one_line(
    name: str, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--method", name]) == 2
    assert "`granularity` half" in capsys.readouterr().err
    assert not (tmp_path / "run" / "result.json").exists()


def test_looking_into_the_model_is_paid_for(command: list[str], tmp_path: Path) -> None:
    costs = {}
    for name in ("magnitude", "block-influence", "taylor"):
        main([*command, "--method", name, "--output", str(tmp_path / name)])
        costs[name] = read(tmp_path / name / "result.json")["cost"]
    # All judge their own pattern and the dense model once; patterns of equal blocks cost the same.
    assert costs["block-influence"] == pytest.approx(costs["magnitude"] + 1)
    assert costs["taylor"] == pytest.approx(costs["magnitude"] + 3)


class Killed(Exception):
    pass


class Assassin(Progress):
    """Ends the process, as it were, after so many generations."""

    def __init__(self, after: int) -> None:
        self.after = after

    def generation(self, state: EvolutionState) -> None:
        self.after -= 1
        if self.after == 0:
            raise Killed


@pytest.mark.parametrize("name", ["sleb", "evopress", "nsga2", "taylor"])
def test_a_killed_method_goes_on_and_ends_as_if_nothing_had_been(
    name: str, toy_checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    config = evop_deap.SearchConfig(
        model=str(toy_checkpoint), corpus=str(corpus), sparsity=0.4, window=16, tokens=128,
        heldout_tokens=32, method=name, max_evaluations=9,
    )  # fmt: skip
    whole = evop_deap.run_search(config.replace(cache=False), tmp_path / "whole")
    for after in (1, 1):
        with suppress(Killed):
            evop_deap.run_search(config, tmp_path / "run", resume=True, progress=Assassin(after))
    resumed = evop_deap.run_search(config, tmp_path / "run", resume=True)
    spared: dict[str, Any] = {"seconds": 0.0, "checkpoint": {}}  # the card names the cache
    assert {**resumed.as_dict(), **spared} == {**whole.as_dict(), **spared}
    rows = [
        [
            {name: value for name, value in json.loads(line).items() if name != "seconds"}
            for line in (tmp_path / folder / "history.jsonl").read_text().splitlines()
        ]
        for folder in ("whole", "run")
    ]
    assert rows[0] == rows[1]


def test_seeds_are_in_the_first_generation_and_everything_is_counted(
    command: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    main([*command, "--init", "leave-one-out", "last"])
    result, checkpoint = read(run / "result.json"), read(run / "checkpoint.json")
    main([*command, "--method", "last", "--output", str(tmp_path / "last")])
    picked = read(tmp_path / "last" / "result.json")["dropped"]
    bits = "".join("0" if str(i) in picked else "1" for i in range(5))
    assert bits in checkpoint["evaluated"]
    assert checkpoint["beside"] == 5
    assert result["evaluations"] == 5 + 4 + 3
    alone = [row for row in checkpoint["rows"] if row.count("0") == 1]
    assert len(alone) == 5
    main([*command, "--output", str(tmp_path / "plain"), "--generations", "0"])
    first = json.loads((run / "history.jsonl").read_text().splitlines()[0])
    plain = read(tmp_path / "plain" / "result.json")
    assert first["cost"] > plain["cost"] - plain["validation"]["cost"] - 1


def test_seeding_by_all_cheap_rules_ends_in_a_model(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--init", "heuristics"]) == 0
    result = read(tmp_path / "run" / "result.json")
    assert result["method"] == "search"
    # Taylor looks for three passes, three rules for one each, and five blocks are left out.
    assert result["cost"] > 6


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--method", "slab"], "`method` must be search or one of"),
        (["--init", "evopress"], "`init` must be balanced, heuristics or some of"),
        (["--init", "balanced", "last"], "`init` must be"),
        (["--init", "sleb", "--max-evaluations", "6"], "`init` evaluates 9 patterns"),
        (
            ["--init", "llm-drop"],
            "`init` llm-drop is defined for `granularity` half, but got block",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    flags: list[str], message: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *flags]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["method", "init"])
def test_a_limit_that_does_not_end_a_rule_is_said_to(
    setting: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command.remove("--quiet")
    assert main([*command, f"--{setting}", "sleb", "--max-cost", "1"]) == 0
    said = "`max_cost` does not limit sleb: it runs to its end"
    assert capsys.readouterr().err.splitlines().count(said) == 1


def test_seeds_that_lie_in_the_space_are_counted_once() -> None:
    known = toy_landscape(drops=(1,))
    space = SearchSpace(known.units, 1)
    evaluator, rng = CachedEvaluator(TabularEvaluator(known)), random.Random(0)
    seeds = seeds_of(
        seeding_methods(("leave-one-out", "random"), space), Task(space, evaluator, rng)
    )
    assert (len(seeds.losses), seeds.other_evaluations) == (9, 0)
    settings = EvolutionSettings(surrogate="none", racing="off")
    search = assemble(space, evaluator, rng, settings, begin=lambda: seeds)
    state = search.run(Stopping(generations=3))
    assert state.evaluations == len(state.losses) == 9
    assert state.best.loss == min(known.losses)


def test_a_search_that_was_seeded_learns_from_patterns_that_drop_one_unit() -> None:
    known = toy_landscape(drops=(1, 3))
    space = SearchSpace(known.units, 3)
    evaluator, rng = CachedEvaluator(TabularEvaluator(known, missing=2.0)), random.Random(0)
    evaluator.evaluate([space.dense])
    seeds = seeds_of(seeding_methods(("leave-one-out",), space), Task(space, evaluator, rng))
    settings = EvolutionSettings(racing="off")
    search = assemble(space, evaluator, rng, settings, begin=lambda: seeds)
    state = search.run(Stopping(evaluations=45))
    assert state.other_evaluations == 9
    assert state.evaluations == 45
    inside = [loss for p, loss in zip(known.rows, known.losses, strict=True) if p in space]
    assert state.best.loss == min(inside)


def test_a_search_that_may_judge_no_more_than_its_seeds_is_refused() -> None:
    known = toy_landscape(drops=(1,))
    space = SearchSpace(known.units, 2)
    task = Task(space, TabularEvaluator(known), random.Random(0), Stopping(evaluations=9))
    with pytest.raises(InputError, match="`max_evaluations` is 9"):
        seeds_of(seeding_methods(("leave-one-out",), space), task)
