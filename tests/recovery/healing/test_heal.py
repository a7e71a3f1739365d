"""Healing of a toy run: what is handed over, what is said, and what goes on after a kill."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from forked_searches import run_and_kill
from healed_runs import toy_run
from toy_models import toy_model, toy_tokenizer
from transformers import AutoModelForCausalLM

from evop_deap.base.errors import CheckpointError, InputError, OutputError, UnsupportedModelError
from evop_deap.heal import main
from evop_deap.models.anatomy.probe import run_forward
from evop_deap.recovery.healing.recipes import recipe_table
from evop_deap.runs.heal.heal_folder import HealFolder
from evop_deap.runs.heal.heal_run import heal
from evop_deap.runs.heal.heal_source import heal_source
from evop_deap.runs.run_search import run_search
from evop_deap.settings.config_files import read_config, settings_as_yaml
from evop_deap.settings.healing_config import HealingConfig
from evop_deap.settings.search_config import SearchConfig


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return toy_run(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def healed(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("healed") / "one"
    heal(HealingConfig(**settings), output)
    return output


def _weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def _load(folder: str | Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder)


def test_the_column_of_a_run_is_of_the_corpus_of_the_run(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(settings["source"], tmp_path / "run"))
    written = read_config(run / "config.yaml").replace(text_column="content")
    (run / "config.yaml").write_text(settings_as_yaml(written))
    own, other = (
        HealingConfig(source=str(run)),
        HealingConfig(source=str(run), corpus="other.jsonl"),
    )
    assert heal_source(own).text_column == "content"
    assert heal_source(other).text_column is None


def test_a_healed_model_is_better_on_text_that_it_was_not_trained_on(healed: Path):
    result = json.loads((healed / "healing.json").read_text())
    assert result["taken"]
    for text in ("validation", "heldout"):
        loss = result["loss"][text]
        assert list(loss) == ["dense", "pruned", "compensated", "healed"]
        assert loss["healed"] < loss["compensated"] < loss["pruned"]
    assert result["course"][-1]["step"] <= result["steps"]
    assert not (healed / "work").exists()


def test_the_checkpoint_is_stock_and_has_the_shape_of_the_given_one(
    settings: dict[str, Any], healed: Path
):
    given, made = _load(Path(settings["source"]) / "model"), _load(healed / "model")
    before, after = given.state_dict(), made.state_dict()
    assert {n: t.shape for n, t in before.items()} == {n: t.shape for n, t in after.items()}
    assert {t.dtype for t in before.values()} == {t.dtype for t in after.values()}
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_card_and_page_show_all_four(healed: Path):
    card = (healed / "model" / "README.md").read_text()
    assert "## Healing" in card
    assert "| dense | pruned | compensated | healed |" in card
    assert "nothing was trained" not in card
    page = (healed / "report.html").read_text()
    for word in ("dense", "pruned", "compensated", "healed", "Loss on validation text"):
        assert word in page


def test_a_model_that_gets_worse_is_not_handed_over(settings: dict[str, Any], tmp_path: Path):
    result = heal(HealingConfig(**{**settings, "learning_rate": 50.0}), tmp_path / "out")
    assert not result.taken
    assert result.loss["validation"]["healed"] == result.loss["validation"]["compensated"]
    given = _load(Path(settings["source"]) / "model").state_dict()
    made = _load(tmp_path / "out" / "model").state_dict()
    assert all(torch.equal(given[name], made[name]) for name in given)
    assert "Training changed nothing" in (tmp_path / "out" / "model" / "README.md").read_text()


def test_adapters_are_merged_and_the_kept_ones_load_by_plain_peft(
    settings: dict[str, Any], tmp_path: Path
):
    from peft import PeftModel

    config = HealingConfig(**settings, keep_adapter=True)
    result = heal(config, tmp_path / "out")
    assert result.taken
    assert result.trained == "adapters"
    given = _load(Path(settings["source"]) / "model")
    ids = torch.arange(3, 40)[None]
    whole = PeftModel.from_pretrained(given, tmp_path / "out" / "adapter").merge_and_unload()
    expected = run_forward(whole, ids)
    torch.testing.assert_close(run_forward(_load(tmp_path / "out" / "model"), ids), expected)


@pytest.mark.parametrize("loss", ["ce", "mix"])
def test_every_loss_trains(settings: dict[str, Any], tmp_path: Path, loss: str):
    assert heal(HealingConfig(**settings, loss=loss), tmp_path / "out").taken


def test_the_dense_model_can_write_the_text(settings: dict[str, Any], tmp_path: Path):
    config = HealingConfig(**{**settings, "tokens": 1024}, generate=True)
    one = heal(config, tmp_path / "one")
    two = heal(config, tmp_path / "two")
    assert one.losses == two.losses
    assert one.losses != heal(config.replace(generate=False), tmp_path / "three").losses


def test_limits_stop_a_training(settings: dict[str, Any], tmp_path: Path):
    assert heal(HealingConfig(**settings, max_steps=1), tmp_path / "a").steps == 1
    short = heal(HealingConfig(**settings, max_seconds=0.001), tmp_path / "b")
    assert short.steps == 1
    assert "seconds" in short.stopped


def test_a_checkpoint_of_apply_names_its_dense_model(settings: dict[str, Any], tmp_path: Path):
    from evop_deap.apply import main as apply

    toy = Path(settings["source"]).parent / "toy"
    words = ["--model", str(toy), "--pattern", "2", "--output", str(tmp_path / "pruned")]
    assert apply([*words, "--quiet"]) == 0
    corpus = str(toy.parent / "own.jsonl")
    own = {**settings, "source": str(tmp_path / "pruned"), "corpus": corpus}
    result = heal(HealingConfig(**own), tmp_path / "out")
    assert result.base == str(toy)
    assert list(result.loss["heldout"]) == ["dense", "given", "healed"]


def test_bad_input_is_one_line(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def refused(*words: str, says: str) -> None:
        assert main([*words, "--quiet"]) == 2
        error = capsys.readouterr().err.strip()
        assert len(error.splitlines()) == 1
        assert says in error
        assert not (tmp_path / "out").exists()

    out = ["--output", str(tmp_path / "out")]
    refused(str(tmp_path / "no"), *out, says="has neither config.yaml nor config.json")
    bare = tmp_path / "bare"
    other = toy_model("llama")
    other.resize_token_embeddings(len(toy_tokenizer()) + 4)
    other.save_pretrained(bare)
    toy_tokenizer().save_pretrained(bare)
    capsys.readouterr()
    refused(str(bare), *out, says="`base` is required")
    refused(str(bare), "--base", "x", *out, says="`corpus` is required")
    run = settings["source"]
    refused(run, *out, "--corpus", str(tmp_path / "no.txt"), says="`corpus`")
    refused(run, *out, "--resume", says="holds no training")
    refused(run, *out, "--keep-adapter", "--full", says="`keep_adapter` needs adapters")
    refused(run, *out, "--window", "32", "--base", str(bare), says="has embeddings of shape")


def test_a_dense_model_of_another_fingerprint_is_refused(settings: dict[str, Any], tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(settings["source"], run)
    result = json.loads((run / "result.json").read_text())
    result["model_fingerprint"] = "0" * 64
    (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match="has other weights than the dense model of"):
        heal(HealingConfig(**{**settings, "source": str(run)}), tmp_path / "out")


def test_another_dense_model_is_refused_even_if_it_is_asked_for(
    settings: dict[str, Any], tmp_path: Path
):
    other = AutoModelForCausalLM.from_pretrained(Path(settings["source"]).parent / "toy")
    with torch.no_grad():
        other.model.norm.weight += 1.0
    other.save_pretrained(tmp_path / "other")
    toy_tokenizer().save_pretrained(tmp_path / "other")
    config = HealingConfig(**settings, base=str(tmp_path / "other"))
    with pytest.raises(InputError, match="has other weights than the dense model of"):
        heal(config, tmp_path / "out")


def test_a_run_in_bfloat16_is_healed(settings: dict[str, Any], tmp_path: Path):
    """The fingerprint of a dense model depends on the dtype that it is loaded in."""
    folder = Path(settings["source"]).parent
    search = SearchConfig(
        model=str(folder / "toy"), corpus=str(folder / "own.jsonl"), window=32, tokens=256,
        heldout_tokens=512, compensation_tokens=2048, method="last", cache=False, sparsity=0.4,
        dtype="bfloat16",
    )  # fmt: skip
    run_search(search, tmp_path / "run")
    result = heal(HealingConfig(**{**settings, "source": str(tmp_path / "run")}), tmp_path / "out")
    assert result.taken


@pytest.mark.parametrize("rate", [pytest.param("1e9", marks=pytest.mark.slow), "1e30"])
@pytest.mark.parametrize("weights", ["--full", pytest.param("--no-full", marks=pytest.mark.slow)])
def test_a_training_that_diverges_is_told_in_valid_json(
    rate: str,
    weights: str,
    settings: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    flags = ["--learning-rate", rate, weights, "--tokens", "3072", "--window", "32", "--quiet"]
    words = [settings["source"], "--output", str(tmp_path / "out"), *flags]
    assert main(words) == 0
    said = "the given model is handed over: training did not lower the loss on validation text"
    assert said in capsys.readouterr().out
    assert main([*words, "--overwrite", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not told["taken"]
    assert json.loads((tmp_path / "out" / "healing.json").read_text()) == told


def test_adapters_of_a_model_that_is_not_handed_over_are_not_kept(
    settings: dict[str, Any], tmp_path: Path
):
    config = HealingConfig(**{**settings, "learning_rate": 50.0}, keep_adapter=True)
    assert not heal(config, tmp_path / "out").taken
    assert not (tmp_path / "out" / "adapter").exists()


def test_a_kill_before_the_first_step_is_resumed_by_the_words_that_are_told(
    settings: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    from evop_deap.recovery.healing import teacher

    out = tmp_path / "my out"
    flags = ["--window", "32", "--tokens", "1024", "--learning-rate", "0.002", "--quiet"]

    def stopped(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(teacher, "teacher_targets", stopped)
        assert main([settings["source"], "--output", str(out), *flags]) == 130
    told = capsys.readouterr().err
    words = shlex.split(told.split("python -m evop_deap.heal ")[1])
    assert main([*words, "--quiet"]) == 0
    assert main([settings["source"], "--output", str(tmp_path / "whole"), *flags]) == 0
    assert _weights(out) == _weights(tmp_path / "whole")


def test_the_page_escapes_the_name_of_the_source(healed: Path):
    from evop_deap.reporting.healing_page import healing_page
    from evop_deap.runs.storage.healing_result import HealingResult

    result = HealingResult(**json.loads((healed / "healing.json").read_text()))
    page = healing_page(dataclasses.replace(result, source="<script>x</script>"))
    assert "<script>x" not in page


def test_the_help_lists_what_a_recipe_stands_for(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert recipe_table().splitlines()[1] in capsys.readouterr().out


def test_a_window_beyond_the_context_is_refused(settings: dict[str, Any], tmp_path: Path):
    with pytest.raises(InputError, match="`window` must be at most the model's context"):
        heal(HealingConfig(**{**settings, "window": 100_000}), tmp_path / "out")


def test_a_quantised_checkpoint_is_refused():
    from evop_deap.recovery.healing.students import check_trainable

    model = toy_model("llama")
    model.config.quantization_config = {"quant_method": "awq"}
    with pytest.raises(UnsupportedModelError, match="is quantised: heal the checkpoint in float32"):
        check_trainable(model, "x")


def test_another_training_in_the_folder_is_not_resumed(settings: dict[str, Any], tmp_path: Path):
    flags = ["--window", "32", "--tokens", "3072", "--learning-rate", "0.002"]
    words = [settings["source"], "--output", str(tmp_path / "out"), *flags]
    begun = HealFolder(tmp_path / "out").identity.exists
    assert run_and_kill(words, begun, command="heal") == -9
    with pytest.raises(CheckpointError, match="has rate 0.002, but this one has 0.001"):
        heal(HealingConfig(**{**settings, "learning_rate": 1e-3}), tmp_path / "out", resume=True)
    with pytest.raises(InputError, match="already holds work"):
        heal(HealingConfig(**settings), tmp_path / "out")


def test_a_full_disk_is_one_line(settings: dict[str, Any], tmp_path: Path):
    from small_disk import files_of_at_most

    with files_of_at_most(20_000), pytest.raises(OutputError, match="cannot write"):
        heal(HealingConfig(**settings), tmp_path / "out")
    assert not (tmp_path / "out" / "model").exists()
