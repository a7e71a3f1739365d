"""The command line and its function, on a toy model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

import evop_deap
from evop_deap.fitness.model.reference import ReferenceEvaluator
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.load_model import load_model
from evop_deap.search import main

SIZES = ["--window", "16", "--tokens", "64", "--heldout-tokens", "96"]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    rows = [
        {"text": f"Document {i} tells of {['apple', 'pear', 'plum'][i % 3]}s. " * 4}
        for i in range(120)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def command(toy_checkpoint: Path, corpus: Path, tmp_path: Path) -> list[str]:
    return [
        "--model", str(toy_checkpoint), "--corpus", str(corpus), "--sparsity", "0.4", *SIZES,
        "--population", "4", "--tournament", "2", "--offspring", "3", "--generations", "1",
        "--output", str(tmp_path / "run"), "--compensate", "off",
    ]  # fmt: skip


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def executed_to_decide(result: dict[str, Any]) -> float:
    """What a run executed but for validation."""
    return float(result["executed"] - result["validation"]["executed"])


def test_a_run_ends_in_a_table_and_a_complete_folder(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    out, err = capsys.readouterr()
    for word in ("perplexity", "calibration", "held-out", "without", "evaluations", "cost"):
        assert word in out
    assert "best perplexity" in err
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "calibration.json", "checkpoint.json", "config.yaml", "history.jsonl",
        "layer_drop_config.txt", "mergekit.yaml", "model", "report.html", "result.json",
    ]  # fmt: skip


def test_the_result_says_what_the_checkpoint_is(
    command: list[str], toy_checkpoint: Path, tmp_path: Path
) -> None:
    main([*command, "--quiet"])
    run = tmp_path / "run"
    result = read(run / "result.json")
    assert len(result["dropped"]) == 2
    assert sorted(map(int, result["kept"] + result["dropped"])) == list(range(result["n_blocks"]))
    assert result["sparsity"] == 2 / result["n_blocks"]
    assert result["evaluations"] == 7
    model = AutoModelForCausalLM.from_pretrained(run / "model")
    assert model.config.num_hidden_layers == result["n_blocks"] - 2
    assert sum(p.numel() for p in model.parameters()) == result["parameters"]["pruned"]
    dense = AutoModelForCausalLM.from_pretrained(toy_checkpoint)
    assert sum(p.numel() for p in dense.parameters()) == result["parameters"]["dense"]
    assert AutoTokenizer.from_pretrained(run / "model")("a pear").input_ids
    card = (run / "model" / "README.md").read_text()
    assert ", ".join(result["dropped"]) in card


def test_the_losses_reported_are_those_of_the_exported_model(
    command: list[str], tmp_path: Path
) -> None:
    main([*command, "--quiet"])
    run = tmp_path / "run"
    result, manifest = read(run / "result.json"), read(run / "calibration.json")
    config = evop_deap.SearchConfig(**yaml.safe_load((run / "config.yaml").read_text()))
    from evop_deap.runs.listeners.progress import Progress
    from evop_deap.runs.stages.prepare import prepare

    text = prepare(config, Progress()).text
    pruned = load_model(str(run / "model"), dtype="float32")
    anatomy = find_anatomy(pruned.model)
    for name, windows in (("calibration", text.calibration), ("heldout", text.heldout)):
        assert windows.fingerprint == result[name]["fingerprint"] == manifest[name]["fingerprint"]
        evaluator = ReferenceEvaluator(pruned.model, anatomy, windows.tokens)
        loss = evaluator.evaluate([(1,) * len(anatomy.blocks)]).losses[0]
        assert loss == pytest.approx(result[name]["loss"]["pruned"], abs=1e-6)


def test_history_has_a_row_a_generation_and_the_work_adds_up(
    command: list[str], tmp_path: Path
) -> None:
    main([*command, "--quiet", "--generations", "2"])
    rows = [json.loads(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    result = read(tmp_path / "run" / "result.json")
    assert [row["gen"] for row in rows] == list(range(result["generations"] + 1))
    assert sum(row["nevals"] + row["lost"] for row in rows) == result["evaluations"]
    assert rows[-1]["cost"] + 1 == pytest.approx(result["cost"] - result["validation"]["cost"])
    assert result["cost"] == pytest.approx(result["executed"])
    assert sum(row["executed"] for row in rows) + 1 == pytest.approx(executed_to_decide(result))
    found = result["finalists"][0]
    assert found["dropped"] == result["dropped"]
    assert found["loss"] == pytest.approx(result["calibration"]["loss"]["pruned"])
    # The best as searched is named, or one that calibration text cannot tell from it.
    best = min(result["finalists"], key=lambda finalist: finalist["loss"])
    assert (rows[-1]["dropped"], rows[-1]["min"]) == (best["dropped"], best["loss"])
    assert found["behind"] <= found["error"]


def test_the_pattern_is_told_in_the_formats_of_other_tools(
    command: list[str], tmp_path: Path
) -> None:
    main([*command, "--quiet"])
    run = tmp_path / "run"
    result = read(run / "result.json")
    lines = (run / "layer_drop_config.txt").read_text().splitlines()
    assert [str(i) for i, line in enumerate(lines) if line == "attn+mlp"] == result["dropped"]
    slices = yaml.safe_load((run / "mergekit.yaml").read_text())["slices"]
    ranges = [source["layer_range"] for piece in slices for source in piece["sources"]]
    assert [str(i) for a, b in ranges for i in range(a, b)] == result["kept"]


def test_the_written_configuration_repeats_the_run(command: list[str], tmp_path: Path) -> None:
    main([*command, "--quiet"])
    config, again = tmp_path / "run" / "config.yaml", tmp_path / "again"
    assert main(["--config", str(config), "--output", str(again), "--quiet"]) == 0
    first, second = (read(folder / "result.json") for folder in (tmp_path / "run", again))
    spent = {"seconds": 0, "executed": 0, "cache_hits": 0, "work": {}}
    for result in (first, second):
        del result["validation"]["executed"]
    assert {**first, **spent} == {**second, **spent}
    assert main(["--config", str(config), "--output", str(tmp_path / "other"), "--quiet",
                 "--seed", "1"]) == 0  # fmt: skip
    assert read(tmp_path / "other" / "result.json")["seed"] == 1


def test_losses_are_shared_with_later_searches_unless_declined(
    command: list[str], tmp_path: Path
) -> None:
    results = []
    for number, flags in enumerate(([], [], ["--no-cache"])):
        output = tmp_path / str(number)
        main([*command, "--quiet", "--init", "balanced", *flags, "--output", str(output)])
        results.append(read(output / "result.json"))
    first, shared, declined = results
    assert (first["cache_hits"], shared["cache_hits"], declined["cache_hits"]) == (0, 7, 0)
    assert first["cost"] == shared["cost"] == declined["cost"] == declined["executed"]
    assert executed_to_decide(first) > shared["executed"] == pytest.approx(0.0)
    assert first["calibration"] == shared["calibration"] == declined["calibration"]


def test_more_calibration_text_reuses_the_windows_already_paid_for(
    command: list[str], tmp_path: Path
) -> None:
    main([*command, "--quiet", "--tokens", "256", "--output", str(tmp_path / "less")])
    more = ["--tokens", "384", "--init", "balanced", "--output", str(tmp_path / "more")]
    main([*command, "--quiet", *more, "--max-evaluations", "4"])
    # The first population is the same, and two thirds of its windows are.
    cost, whole = executed_to_decide(read(tmp_path / "more" / "result.json")), tmp_path / "whole"
    main(
        [*command, "--quiet", *more, "--max-evaluations", "4", "--no-cache", "--output", str(whole)]
    )
    assert cost == pytest.approx(executed_to_decide(read(whole / "result.json")) / 3)


def test_protected_blocks_stay(command: list[str], tmp_path: Path) -> None:
    main([*command, "--quiet", "--protect", "0", "-1"])
    result = read(tmp_path / "run" / "result.json")
    assert {"0", str(result["n_blocks"] - 1)} <= set(result["kept"])


def test_the_function_returns_what_the_command_writes(
    toy_checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    generations: list[int] = []

    class Listener(evop_deap.runs.listeners.progress.Progress):
        def generation(self, state: evop_deap.EvolutionState) -> None:
            generations.append(state.generation)

    config = evop_deap.SearchConfig(
        model=str(toy_checkpoint), corpus=str(corpus), sparsity=0.2, window=16, tokens=32,
        heldout_tokens=32, generations=2, population=2, offspring=1, tournament=1,
    )  # fmt: skip
    result = evop_deap.run_search(config, tmp_path / "run", progress=Listener())
    assert isinstance(result, evop_deap.SearchResult)
    assert result.as_dict() == read(tmp_path / "run" / "result.json")
    assert generations == [0, 1, 2]


def test_lower_precision_is_computed_and_reported(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--quiet", "--dtype", "bfloat16"]) == 0
    assert read(tmp_path / "run" / "result.json")["dtype"] == "bfloat16"


def test_a_checkpoint_in_bfloat16_is_written_in_bfloat16_whatever_it_was_computed_in(
    command: list[str], toy_checkpoint: Path, tmp_path: Path
) -> None:
    stored = tmp_path / "bfloat16"
    model = AutoModelForCausalLM.from_pretrained(toy_checkpoint, dtype=torch.bfloat16)
    model.save_pretrained(stored)
    AutoTokenizer.from_pretrained(toy_checkpoint).save_pretrained(stored)
    assert main([*command, "--quiet", "--model", str(stored), "--dtype", "float32"]) == 0
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model").dtype == torch.bfloat16


def test_overwriting_replaces_the_run(command: list[str], tmp_path: Path) -> None:
    main([*command, "--quiet"])
    assert main([*command, "--quiet"]) == 2
    assert main([*command, "--quiet", "--seed", "5", "--overwrite"]) == 0
    assert read(tmp_path / "run" / "result.json")["seed"] == 5
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == 2


def test_help_answers_without_loading_anything_heavy() -> None:
    code = (
        "import sys; from evop_deap.search import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'deap', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in ("examples:", "evolution:", "when to stop", "--sparsity", "python -m evop_deap"):
        assert words in done.stdout


def test_the_search_core_imports_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "import evop_deap.evolution.loop, evop_deap.evolution.operators, evop_deap.space\n"
        "import evop_deap.evolution.toolbox, evop_deap.fitness.tabular, evop_deap.fitness.cached\n"
        "import evop_deap.runs.storage.checkpoint"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
