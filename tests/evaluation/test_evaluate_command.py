"""The command line of evaluation, on toy checkpoints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing
from toy_models import CONTEXT, toy_tokenizer, write_toy_checkpoint
from transformers import AutoModelForCausalLM

from evop_deap.evaluate import main
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.export.export_checkpoint import export_checkpoint
from evop_deap.models.loading.load_model import load_model
from evop_deap.settings.evaluation_config import EvaluationConfig

WORDS = "The river runs down to the sea, and number {} is never full of letters. "


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, toy_checkpoint: Path) -> Path:
    """A folder with a text, a task, and a pruned copy of the toy checkpoint."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "text.txt").write_text("".join(WORDS.format(i) for i in range(60)))
    rows = [{"goal": f"Go {i}", "sol1": "by sea", "sol2": "run", "label": i % 2} for i in range(5)]
    (folder / "piqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = load_model(str(toy_checkpoint))
    anatomy = find_anatomy(loaded.model)
    export_checkpoint(loaded.model, anatomy, [1, 3], loaded.tokenizer, folder / "pruned")
    return folder


@pytest.fixture
def good(files: Path, toy_checkpoint: Path) -> list[str]:
    """A command that works and measures perplexity; tests add what else they want."""
    return [
        str(files / "pruned"), "--perplexity", str(files / "text.txt"), "--window", "32",
        "--max-windows", "8", "--device", "cpu",
    ]  # fmt: skip


def report(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.slow
def test_everything_at_once_beside_the_dense_model(
    good: list[str],
    files: Path,
    toy_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = [
        "--against", str(toy_checkpoint), "--window", "16", "32", "--tasks", "piqa",
        "--tasks-from", str(files), "--limit", "4", "--speed", "--batches", "1", "2",
        "--prompt-tokens", "8", "--new-tokens", "4", "--repeats", "2", "--degeneracy",
        "--prompts", "3", "--continuation", "12", "--json", str(tmp_path / "a" / "out.json"),
        "--quiet",
    ]  # fmt: skip
    assert main([*good, *more]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for said in ("pruned against dense", "perplexity text.txt (8 x 32)", "piqa acc_norm (4)",
                 "decode, 2 x 4", "peak memory", "rep-4 of 3", "float32 on cpu"):  # fmt: skip
        assert said in out
    found = report(tmp_path / "a" / "out.json")
    model, dense, comparison = found["model"], found["dense"], found["comparison"]
    assert (model["blocks"], dense["blocks"]) == (3, 5)
    assert comparison["parameters"] == model["parameters"] / dense["parameters"] < 1
    for mine, theirs, told in zip(
        model["perplexity"], dense["perplexity"], comparison["perplexity"], strict=True
    ):
        assert told["ratio"] == pytest.approx(mine["perplexity"] / theirs["perplexity"])
    assert [one["window"] for one in model["perplexity"]] == [16, 32]
    assert [one["batch"] for one in comparison["speed"]] == [1, 2]
    assert model["peak_bytes"] > 0
    assert found["settings"] == EvaluationConfig(**found["settings"]).as_dict()
    assert found["versions"].keys() >= {"torch", "transformers", "lm_eval"}
    assert found["texts"][0]["name"] == "text.txt"


def test_windows_begin_with_special_tokens_unless_told_otherwise(
    good: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = toy_tokenizer()
    write_toy_checkpoint(tmp_path / "bos")
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    tokenizer.save_pretrained(tmp_path / "bos")
    found = {}
    for flag, said in (("--prefix", "every window"), ("--no-prefix", "only the first window")):
        command = [str(tmp_path / "bos"), *good[1:], flag, "--json", str(tmp_path / "out.json")]
        assert main([*command, "--quiet"]) == 0
        assert f"{said} begins with <s>" in capsys.readouterr().out
        (found[flag],) = report(tmp_path / "out.json")["model"]["perplexity"]
        assert report(tmp_path / "out.json")["settings"]["prefix"] is (flag == "--prefix")
    assert found["--prefix"]["prefix"] == {"tokens": ["<s>"], "every_window": True}
    assert found["--no-prefix"]["prefix"] == {"tokens": ["<s>"], "every_window": False}
    assert found["--prefix"]["losses"] != found["--no-prefix"]["losses"]


def test_a_model_differs_in_nothing_from_itself(
    good: list[str], files: Path, tmp_path: Path
) -> None:
    more = ["--against", str(files / "pruned"), "--degeneracy", "--continuation", "8", "--quiet"]
    assert main([*good, *more, "--json", str(tmp_path / "out.json")]) == 0
    comparison = report(tmp_path / "out.json")["comparison"]
    assert comparison["perplexity"][0]["excess_loss"] == {"value": 0.0, "error": 0.0}
    assert comparison["degeneracy"] == {
        "repetition": {"value": 0.0, "error": 0.0},
        "degenerate": False,
    }


def test_only_what_is_asked_for_is_measured(good: list[str], tmp_path: Path) -> None:
    assert main([*good, "--json", str(tmp_path / "out.json")]) == 0
    found = report(tmp_path / "out.json")
    assert found["dense"] is found["comparison"] is None
    model = found["model"]
    assert len(model["perplexity"][0]["losses"]) == 8
    assert (model["tasks"], model["speed"], model["peak_bytes"]) == ([], [], None)
    assert model["degeneracy"] is None


def test_the_perplexity_is_that_of_the_reloaded_checkpoint(
    good: list[str], files: Path, tmp_path: Path
) -> None:
    import torch

    assert main([*good, "--json", str(tmp_path / "out.json"), "--quiet"]) == 0
    losses = report(tmp_path / "out.json")["model"]["perplexity"][0]["losses"]
    model = AutoModelForCausalLM.from_pretrained(files / "pruned").eval()
    ids = torch.tensor(toy_tokenizer()((files / "text.txt").read_text()).input_ids)
    for i, loss in enumerate(losses):
        row = ids[None, 32 * i : 32 * (i + 1)]
        with torch.no_grad():
            assert float(model(row, labels=row).loss) == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--perplexity", "nowhere.txt"], "nowhere.txt"),
        (["--window", "1"], "`window` must be at least 2"),
        (["--window", str(CONTEXT + 1)], f"context of {CONTEXT}"),
        (["--max-windows", "0"], "`max_windows` must be at least 1"),
        (["--tasks-from", "x"], "give `tasks`"),
        (["--limit", "3"], "give `tasks`"),
        (["--tasks", "boolq", "--tasks-from", "x"], "'boolq'"),
        (["--tasks", "piqa", "--tasks-from", "x"], "x must hold piqa.jsonl"),
        (["--against", "./nowhere"], "`against` names ./nowhere"),
        (["--device", "tpu"], "`device`"),
        (["--batches", "0"], "`batches` must be at least 1"),
        (["--new-tokens", "1"], "`new_tokens` must be at least 2"),
        (["--json", "."], "is a folder"),
        (["--json", "/proc/none/out.json"], "cannot write"),
        (["--speeed"], "--speeed"),
        (["--window", "many"], "many"),
        (["--degeneracy", "--continuation", "5000"], "`continuation`"),
        (["--degeneracy", "--continuation", str(CONTEXT - 31)], "prompt of 32 tokens is more than"),
        (["--speed", "--prompt-tokens", str(CONTEXT)], f"more than the {CONTEXT} tokens that"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    more: list[str], says: str, good: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([*good, *more, "--quiet"])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    (line,) = err.splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--window", "16", "64"], "`window` (64) is longer than the text of short.txt"),
        (["--window", "16", "--degeneracy", "--continuation", "60"], "needs at least two windows"),
    ],
)
def test_a_text_that_is_too_short_is_refused_before_anything_is_measured(
    more: list[str], says: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.txt"
    short.write_text(WORDS.format(1))
    words = [str(files / "pruned"), "--perplexity", str(short), "--device", "cpu"]
    assert main([*words, *more]) == 2
    *told, line = capsys.readouterr().err.splitlines()
    assert says in line
    assert not [stage for stage in told if "perplexity on" in stage]


def test_a_domain_that_fills_no_window_is_named(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("long", WORDS * 20), ("short", "a sea"), ("brief", "the sea")]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps({"domain": d, "text": t}) + "\n" for d, t in rows))
    words = [str(files / "pruned"), "--perplexity", str(path), "--window", "32", "--quiet"]
    assert main([*words, "--device", "cpu", "--max-windows", "2"]) == 0
    out = capsys.readouterr().out
    assert "warning: mixed.jsonl in windows of 32: too short and left out: brief, short" in out


def test_a_model_with_another_vocabulary_is_no_comparison(
    good: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_toy_checkpoint(tmp_path / "other")
    path = other / "tokenizer.json"
    vocabulary = json.loads(path.read_text())
    words = vocabulary["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    path.write_text(json.dumps(vocabulary))
    capsys.readouterr()
    assert main([*good, "--against", str(other), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "another vocabulary" in line


def test_without_a_choice_speed_and_degeneracy_are_measured() -> None:
    assert EvaluationConfig(checkpoint="a").measured == ("speed", "degeneracy")
    assert EvaluationConfig(checkpoint="a", tasks=("piqa",)).measured == ("tasks",)


def test_help_needs_no_heavy_import() -> None:
    program = (
        "import sys, evop_deap.evaluate\n"
        "try: evop_deap.evaluate.main(['--help'])\n"
        "finally: print({'numpy', 'torch', 'transformers', 'lm_eval'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    assert "examples:" in done.stdout
    assert done.stdout.rstrip().endswith("set()")
