"""Searches by divergence and with racing, from the command line to the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from toy_models import toy_tokens
from transformers import PreTrainedModel

import evop_deap
from evop_deap.evolution.state import EvolutionState
from evop_deap.fitness.model.population import PopulationEvaluator
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.stages.prepare import prepare
from evop_deap.search import main
from evop_deap.space import dropped_units

GENERATIONS = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    rows = [{"text": f"Text {i} is about the number {i * i}. " * 6} for i in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# Windows of 64 tokens are computed four at a time, so that a race has rungs of 4, 8 and 12.
SIZES = ["--window", "64", "--tokens", "1024", "--heldout-tokens", "256"]
EVOLUTION = ["--population", "2", "--tournament", "2", "--offspring", "3"]


@pytest.fixture
def command(toy_checkpoint: Path, corpus: Path, tmp_path: Path) -> list[str]:
    return [
        "--model", str(toy_checkpoint), "--corpus", str(corpus), "--sparsity", "0.4", *SIZES,
        *EVOLUTION, "--generations", str(GENERATIONS), "--output", str(tmp_path / "run"),
        "--compensate", "off",
    ]  # fmt: skip


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def result_of(command: list[str], *more: str) -> dict[str, Any]:
    """Runs the command with more arguments, quietly and with no losses of other runs."""
    arguments = [*command, "--no-cache", "--quiet", *more]
    assert main(arguments) == 0
    result: dict[str, Any] = read(_output(arguments) / "result.json")
    return result


def _output(arguments: list[str]) -> Path:
    last = max(i for i, argument in enumerate(arguments) if argument == "--output")
    return Path(arguments[last + 1])


def history(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]


def pattern_of(result: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(str(i) in result["kept"]) for i in range(result["n_blocks"]))


# Divergence.


def test_a_search_by_divergence_reports_it_and_measures_cross_entropy(
    command: list[str], tmp_path: Path
) -> None:
    result = result_of(command, "--fitness", "kl")
    fitness = result["fitness"]
    assert fitness["name"] == "kl"
    assert abs(fitness["dense"]) < 1e-6
    assert fitness["pruned"] > 1e-3
    rows = history(tmp_path / "run")
    assert rows[-1]["min"] == fitness["pruned"]
    config = evop_deap.SearchConfig(**yaml.safe_load((tmp_path / "run/config.yaml").read_text()))
    subject = prepare(config, Progress())
    model, anatomy = subject.loaded.model, subject.anatomy
    patterns = [subject.space.dense, pattern_of(result)]
    for name, windows in (
        ("calibration", subject.text.calibration),
        ("heldout", subject.text.heldout),
    ):
        evaluator = ReferenceEvaluator(model, anatomy, windows.tokens)
        losses = evaluator.evaluate(patterns).losses.tolist()
        told = [result[name]["loss"][which] for which in ("dense", "pruned")]
        assert told == pytest.approx(losses, rel=1e-6)
        assert result[name]["perplexity"]["dense"] == pytest.approx(np.exp(told[0]))
    divergence = ReferenceEvaluator(
        model, anatomy, subject.text.calibration.tokens, fitness="kl"
    ).evaluate(patterns)
    assert divergence.losses[1] == pytest.approx(fitness["pruned"], abs=1e-5)


def test_the_dense_model_is_the_same_whatever_is_searched_by(
    command: list[str], tmp_path: Path
) -> None:
    by_loss = result_of(command, "--fitness", "ce")
    by_divergence = result_of(command, "--fitness", "kl", "--output", str(tmp_path / "kl"))
    assert by_loss["fitness"]["name"] == "ce"
    assert by_loss["fitness"]["dense"] == by_loss["calibration"]["loss"]["dense"]
    assert by_loss["fitness"]["pruned"] == by_loss["calibration"]["loss"]["pruned"]
    for name in ("calibration", "heldout"):
        first, second = by_loss[name], by_divergence[name]
        assert first["fingerprint"] == second["fingerprint"]
        assert first["loss"]["dense"] == pytest.approx(second["loss"]["dense"], abs=1e-5)


def test_the_best_divergence_of_a_small_space_is_found(command: list[str], tmp_path: Path) -> None:
    result = result_of(command, "--fitness", "kl", "--racing", "off", "--generations", "9")
    config = evop_deap.SearchConfig(**yaml.safe_load((tmp_path / "run/config.yaml").read_text()))
    subject = prepare(config, Progress())
    space = subject.space
    every = [space.pattern((i, j)) for j in range(5) for i in range(j)]
    evaluator = ReferenceEvaluator(
        subject.loaded.model, subject.anatomy, subject.text.calibration.tokens, fitness="kl"
    )
    losses = evaluator.evaluate(every).losses
    assert result["evaluations"] == space.size == len(every)
    assert pattern_of(result) == every[int(losses.argmin())]


@pytest.mark.parametrize(
    ("fitness", "says", "is_silent_of"),
    [("kl", "best divergence", "best perplexity"), ("ce", "best perplexity", "best divergence")],
)
def test_progress_speaks_of_what_is_searched_by(
    fitness: str,
    says: str,
    is_silent_of: str,
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*command, "--fitness", fitness]) == 0
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("generation ")]
    assert len(lines) == GENERATIONS + 1
    assert all(says in line for line in lines)
    assert is_silent_of not in err
    best = read(tmp_path / "run" / "result.json")["fitness"]["pruned"]
    shown = f"{best:.4f}" if fitness == "kl" else f"{np.exp(best):.2f}"
    assert f"{says} {shown}," in lines[-1]
    # What the result tells is perplexity, whatever was searched by.
    assert "perplexity" in out


def test_losses_and_divergences_are_not_taken_for_each_other(
    command: list[str], tmp_path: Path
) -> None:
    results = []
    for number, fitness in enumerate(("ce", "kl", "kl", "ce")):
        output = tmp_path / str(number)
        flags = ["--racing", "off", "--fitness", fitness, "--quiet", "--output", str(output)]
        assert main([*command, *flags]) == 0
        results.append(read(output / "result.json"))
    loss, divergence, again, loss_again = results
    assert (loss["cache_hits"], divergence["cache_hits"]) == (0, 0)
    assert again["cache_hits"] == again["evaluations"]
    assert loss_again["cache_hits"] == loss_again["evaluations"]
    assert again["fitness"] == divergence["fitness"]
    assert loss_again["fitness"] == loss["fitness"]
    # Getting ready to tell divergences is work that no store saves, and neither is the last look
    # at validation text.
    spent = [result["executed"] - result["validation"]["cost"] for result in (again, loss_again)]
    assert spent == pytest.approx([1.0, 0.0])


def test_a_search_by_divergence_pays_for_the_dense_model_once_more(
    command: list[str], tmp_path: Path
) -> None:
    result = result_of(command, "--fitness", "kl")
    before = history(tmp_path / "run")[-1]["cost"] + result["validation"]["cost"]
    dense_cost = result["cost"] - before
    # Getting ready is one pass, judging the dense pattern another with the head run twice.
    assert 2 < dense_cost < 3


class Interrupting(Progress):
    """Ends the process's work after a generation, as SIGINT there would."""

    def __init__(self, at: int) -> None:
        self._at = at

    def generation(self, state: EvolutionState) -> None:
        if state.generation == self._at:
            raise KeyboardInterrupt


def configured(command: list[str], **changes: Any) -> evop_deap.SearchConfig:
    flags = dict(zip(command[::2], command[1::2], strict=True))
    return evop_deap.SearchConfig(
        model=flags["--model"],
        corpus=flags["--corpus"],
        sparsity=0.4,
        window=64,
        tokens=1024,
        heldout_tokens=256,
        population=2,
        tournament=2,
        offspring=3,
        compensate="off",
        **{"generations": GENERATIONS, **changes},
    )


def timeless(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "seconds": 0}


@pytest.mark.parametrize(
    ("fitness", "racing", "cache"),  # each two of them in every combination
    [
        ("ce", "on", True),
        pytest.param("ce", "off", False, marks=pytest.mark.slow),
        pytest.param("kl", "on", False, marks=pytest.mark.slow),
        ("kl", "off", True),
    ],
)
def test_a_search_interrupted_after_every_generation_ends_like_an_uninterrupted_one(
    fitness: str,
    racing: str,
    cache: bool,
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configured(command, fitness=fitness, racing=racing, cache=cache)
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path / "cache of one"))
    whole = evop_deap.run_search(config, tmp_path / "whole")
    monkeypatch.setenv("EVOP_CACHE", str(tmp_path / "cache of the other"))
    for generation in range(GENERATIONS + 1):
        with pytest.raises(KeyboardInterrupt):
            evop_deap.run_search(
                config, tmp_path / "run", resume=True, progress=Interrupting(generation)
            )
    result = evop_deap.run_search(config, tmp_path / "run", resume=True)
    assert timeless(result.as_dict()) == timeless(whole.as_dict())
    rows = [
        [{**row, "seconds": 0} for row in history(tmp_path / name)] for name in ("run", "whole")
    ]
    assert rows[0] == rows[1]


def test_a_search_by_divergence_resumed_with_a_later_end_goes_on_to_it(
    command: list[str], tmp_path: Path
) -> None:
    whole = result_of(command, "--fitness", "kl", "--output", str(tmp_path / "whole"))
    shorter = result_of(command, "--fitness", "kl", "--generations", "1")
    assert shorter["generations"] == 1
    resumed = result_of(command, "--fitness", "kl", "--resume")
    assert timeless(resumed) == timeless(whole)


@pytest.mark.parametrize("setting", [["--fitness", "ce"], ["--racing", "off"]])
def test_a_search_is_not_resumed_as_another_kind_of_search(
    setting: list[str], command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    result_of(command, "--fitness", "kl", "--racing", "on")
    capsys.readouterr()
    assert main([*command, *setting, "--resume"]) == 2
    _, err = capsys.readouterr()
    assert f"has {setting[0].removeprefix('--')} " in err
    assert len(err.strip().splitlines()) == 1


# One definition of divergence.


@pytest.mark.parametrize("pattern", [(1, 1, 1, 1, 1), (1, 0, 1, 1, 1), (0, 1, 1, 0, 1)])
def test_both_evaluators_tell_how_far_the_pruned_model_is_from_the_dense_one(
    pattern: tuple[int, ...], llama: PreTrainedModel
) -> None:
    anatomy, ids = find_anatomy(llama), toy_tokens(rows=3, length=9)

    def logs(dropped: tuple[int, ...]) -> NDArray[np.float64]:
        with torch.no_grad(), bypassed(anatomy, dropped):
            logits = llama(input_ids=ids, use_cache=False).logits
        found: NDArray[np.float64] = logits[:, :-1].double().log_softmax(-1).numpy()
        return found

    dense, pruned = logs(()), logs(dropped_units(pattern))
    expected = (np.exp(dense) * (dense - pruned)).sum(axis=(1, 2))
    for kind in (PopulationEvaluator, ReferenceEvaluator):
        found = kind(llama, anatomy, ids.numpy(), fitness="kl").evaluate([pattern])
        np.testing.assert_allclose(found.sums[0], expected, atol=1e-4)
        assert found.tokens.tolist() == [8, 8, 8]
    # The other direction is another number: of the dense model from the pruned one.
    if 0 in pattern:
        reverse = (np.exp(pruned) * (pruned - dense)).sum(axis=(1, 2))
        assert np.abs(reverse - expected).sum() > 0.1


# Racing.


@pytest.mark.parametrize("fitness", ["ce", "kl"])
def test_a_raced_search_adds_up(fitness: str, command: list[str], tmp_path: Path) -> None:
    result = result_of(command, "--racing", "on", "--fitness", fitness, "--seed", "1")
    rows = history(tmp_path / "run")
    assert [row["gen"] for row in rows] == list(range(GENERATIONS + 1))
    assert result["cut_short"] == sum(row["lost"] for row in rows) > 0
    assert result["cut_short"] + sum(row["nevals"] for row in rows) == result["evaluations"]
    assert rows[-1]["evaluations"] == result["evaluations"]
    assert result["cache_hits"] == sum(row["hits"] for row in rows) == 0
    assert result["work"] == {
        "block_tokens": sum(row["block_tokens"] for row in rows),
        "head_tokens": sum(row["head_tokens"] for row in rows),
        "bytes_held": max(row["bytes_held"] for row in rows),
    }
    assert all(row["block_tokens"] > 0 < row["head_tokens"] for row in rows)
    costs = [row["cost"] for row in rows]
    assert costs == sorted(costs)
    assert 0 < costs[-1] < result["cost"]


@pytest.mark.parametrize("fitness", ["ce", "kl"])
def test_parts_judged_in_a_race_are_shared_with_later_searches(
    fitness: str, command: list[str], tmp_path: Path
) -> None:
    flags = ["--fitness", fitness, "--seed", "1", "--init", "balanced", "--quiet"]
    results = []
    for name in ("first", "again", "longer"):
        longer = ["--generations", "9"] if name == "longer" else []
        assert main([*command, *flags, *longer, "--output", str(tmp_path / name)]) == 0
        results.append(read(tmp_path / name / "result.json"))
    first, again, longer = results
    assert first["cut_short"] > 0
    assert again["cut_short"] == first["cut_short"]
    assert again["cache_hits"] == again["evaluations"]
    assert again["work"]["head_tokens"] == 0
    assert again["fitness"] == first["fitness"]
    assert longer["cache_hits"] == first["evaluations"]
    alone = result_of(command, *flags, "--generations", "9", "--output", str(tmp_path / "alone"))
    for name in ("evaluations", "cut_short", "fitness", "calibration", "dropped"):
        assert longer[name] == alone[name]


def test_a_search_without_racing_cuts_nothing_short(command: list[str], tmp_path: Path) -> None:
    result = result_of(command, "--racing", "off", "--seed", "1")
    rows = history(tmp_path / "run")
    assert result["cut_short"] == sum(row["lost"] for row in rows) == 0
    assert result["evaluations"] == sum(row["nevals"] for row in rows)
    look = 1  # into the model, before the first generation
    assert result["work"]["head_tokens"] == (result["evaluations"] + look) * 1024
    raced = result_of(command, "--racing", "on", "--seed", "1", "--output", str(tmp_path / "raced"))
    assert raced["work"]["head_tokens"] < result["work"]["head_tokens"]
    assert raced["work"]["block_tokens"] < result["work"]["block_tokens"]
    assert raced["cost"] < result["cost"]
    assert raced["evaluations"] == result["evaluations"]


def test_what_was_cut_short_is_told_in_the_table(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = result_of(command, "--seed", "1")
    out, _ = capsys.readouterr()
    assert f"{result['evaluations']} evaluations ({result['cut_short']} cut short)" in out
    result_of(command, "--racing", "off", "--output", str(tmp_path / "whole"))
    out, _ = capsys.readouterr()
    assert "cut short" not in out


def test_a_limit_on_evaluations_counts_those_cut_short(command: list[str]) -> None:
    result = result_of(command, "--max-evaluations", "7", "--seed", "1")
    assert result["evaluations"] == 7
    assert result["stopped"] == "after 7 evaluations"
    assert result["cut_short"] > 0


@pytest.mark.parametrize(
    ("written", "means"), [("off", "off"), ("on", "on"), ("'off'", "off"), ("false", "off")]
)
def test_racing_can_be_written_as_yaml_has_it(
    written: str, means: str, command: list[str], tmp_path: Path
) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"racing: {written}\n")
    result_of(command, "--config", str(settings), "--seed", "1", "--generations", "1")
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert kept["racing"] == means
    # What is written there is taken again.
    again = tmp_path / "again"
    result_of(["--config", str(tmp_path / "run" / "config.yaml"), "--output", str(again)])
    assert (again / "config.yaml").read_text() == (tmp_path / "run" / "config.yaml").read_text()


def test_a_flag_comes_before_what_the_file_says(command: list[str], tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("racing: off\nfitness: kl\n")
    flags = ["--config", str(settings), "--racing", "on", "--generations", "0"]
    assert result_of(command, *flags)["fitness"]["name"] == "kl"
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["racing"] == "on"


@pytest.mark.parametrize("written", ["off", "on"])
def test_a_run_is_resumed_with_the_file_that_it_was_begun_with(
    written: str, command: list[str], tmp_path: Path
) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"racing: {written}\n")
    begun = result_of(command, "--config", str(settings))
    assert timeless(result_of(command, "--config", str(settings), "--resume")) == timeless(begun)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--fitness", "perplexity"], "such as 'ce+0.5*answers', but got 'perplexity'"),
        (["--fitness", "KL"], "`fitness` must be 'ce' or 'kl' or 'answers', or a sum such as"),
        (["--fitness", ""], "argument --fitness: the value is empty"),
        (["--racing", "maybe"], "`racing` must be 'on' or 'off', but got 'maybe'"),
        (["--racing", "true"], "`racing` must be 'on' or 'off', but got 'true'"),
        (["--racing"], "--racing"),
        (["--fitness"], "--fitness"),
        ("racing: 1", "`racing` must be a text, but got 1"),
        ("racing: null", "`racing` must be a text, but got None"),
        ("racing: sometimes", "`racing` must be 'on' or 'off', but got 'sometimes'"),
        ("fitness: on", "`fitness` must be a text, but got True"),
        ("fitness: [ce, kl]", "`fitness` must be a text"),
        ("fitnes: kl", "did you mean 'fitness'?"),
    ],
)
def test_a_bad_kind_of_search_is_refused_in_one_line(
    flags: list[str] | str,
    says: str,
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if isinstance(flags, str):
        (tmp_path / "settings.yaml").write_text(flags + "\n")
        flags = ["--config", str(tmp_path / "settings.yaml")]
    try:
        code = main([*command, *flags])
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert says in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", [PopulationEvaluator, ReferenceEvaluator])
def test_an_evaluator_of_no_such_fitness_is_refused(
    kind: type[PopulationEvaluator] | type[ReferenceEvaluator], llama: PreTrainedModel
) -> None:
    with pytest.raises(evop_deap.EvopError, match="`fitness` must be .* or a sum .*, but got 'x'"):
        kind(llama, find_anatomy(llama), toy_tokens().numpy(), fitness="x")
