"""What is written is what was searched: reloaded, compared, and never half there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from small_disk import files_of_at_most
from toy_models import WINDOW, anatomy_of, toy_logits, toy_model, toy_tokens
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from evop_deap.base.errors import ExportError, OutputError, UnsupportedModelError
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.export.export_checkpoint import export_checkpoint
from evop_deap.models.surgery.bypass import bypassed


def _load(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder)
    return model.eval()


def _greedy(model: PreTrainedModel, use_cache: bool) -> torch.Tensor:
    ids = toy_tokens(rows=1, length=WINDOW + 4)
    tokens: torch.Tensor = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        use_cache=use_cache,
        do_sample=False,
        max_new_tokens=2 * WINDOW,
        eos_token_id=None,
        pad_token_id=0,
    )
    return tokens


def test_an_exported_model_predicts_and_generates_as_it_should(
    any_or_rare_model: PreTrainedModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = any_or_rare_model
    anatomy = anatomy_of(model)
    report = export_checkpoint(model, anatomy, [0, 2], tokenizer, tmp_path / "model")
    assert report.max_logit_difference == 0.0
    reloaded = _load(report.folder)
    with bypassed(anatomy, [0, 2]):
        assert torch.equal(toy_logits(reloaded), toy_logits(model))
    assert report.parameters == sum(p.numel() for p in reloaded.parameters())
    tokens = _greedy(reloaded, use_cache=True)
    assert torch.equal(tokens, _greedy(reloaded, use_cache=False))
    assert tokens.shape[1] > 2 * WINDOW


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_kept_and_exact(
    dtype: torch.dtype, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    toy_model("qwen2").to(dtype).save_pretrained(tmp_path / "dense")
    model = _load(tmp_path / "dense")
    report = export_checkpoint(model, find_anatomy(model), [1], tokenizer, tmp_path / "model")
    assert report.max_logit_difference == 0.0
    assert _load(report.folder).dtype == dtype


def test_weights_go_back_to_the_narrow_format_they_came_in(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    toy_model("llama-tied").to(torch.bfloat16).save_pretrained(tmp_path / "dense")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "dense", dtype=torch.float32).eval()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    report = export_checkpoint(
        model,
        find_anatomy(model),
        [1],
        tokenizer,
        tmp_path / "model",
        stored_dtype=torch.bfloat16,
    )
    assert report.max_logit_difference == 0.0
    reloaded = _load(report.folder)
    assert {p.dtype for p in reloaded.parameters()} == {torch.bfloat16}
    assert reloaded.lm_head.weight is reloaded.model.embed_tokens.weight
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_weights_are_not_rounded_to_a_narrow_format(
    llama: PreTrainedModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder, narrow = tmp_path / "model", torch.bfloat16
    report = export_checkpoint(
        llama, anatomy_of(llama), [1], tokenizer, folder, stored_dtype=narrow
    )
    assert report.max_logit_difference == 0.0
    assert _load(folder).dtype == torch.float32


def test_the_folder_holds_all_that_a_checkpoint_needs(
    llama: PreTrainedModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "model"
    report = export_checkpoint(
        llama, anatomy_of(llama), [1], tokenizer, folder, card="# Pruned: käse\n"
    )
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors"} <= names
    assert report.folder == folder
    assert report.bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert (folder / "README.md").read_text(encoding="utf-8") == "# Pruned: käse\n"
    text = "The river runs."
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_without_a_card_there_is_no_readme(
    llama: PreTrainedModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    report = export_checkpoint(llama, anatomy_of(llama), [1], tokenizer, tmp_path / "model")
    assert not (report.folder / "README.md").exists()


def test_tied_embeddings_are_stored_once(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = toy_model("llama-tied")
    report = export_checkpoint(model, find_anatomy(model), [1], tokenizer, tmp_path / "model")
    with safe_open(report.folder / "model.safetensors", framework="pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118
    reloaded = _load(report.folder)
    assert reloaded.lm_head.weight is reloaded.model.embed_tokens.weight


def test_generation_settings_come_along(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = toy_model("llama")
    model.generation_config.repetition_penalty = 1.25
    report = export_checkpoint(model, find_anatomy(model), [1], tokenizer, tmp_path / "model")
    assert _load(report.folder).generation_config.repetition_penalty == 1.25


def test_an_older_folder_is_replaced_whole(
    llama: PreTrainedModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    export_checkpoint(llama, anatomy_of(llama), [1], tokenizer, folder)
    assert not (folder / "old.txt").exists()
    assert (folder / "config.json").exists()


def _older_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    return folder


def _assert_only_the_older_folder(tmp_path: Path) -> None:
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["old.txt"]


def test_a_checkpoint_that_is_another_model_is_no_success(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model)
    # In memory only: the configuration that is saved knows nothing of it.
    model.model.layers[2].self_attn.scaling *= 2
    folder = _older_folder(tmp_path)
    with pytest.raises(ExportError, match=r"logits differ by \d"):
        export_checkpoint(model, anatomy, [1], tokenizer, folder)
    _assert_only_the_older_folder(tmp_path)


def test_a_checkpoint_of_not_a_number_is_no_success(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model)
    torch.nn.init.constant_(model.lm_head.weight, float("nan"))
    with pytest.raises(ExportError, match="differ by nan"):
        export_checkpoint(model, anatomy, [1], tokenizer, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_lacks_a_tensor_is_no_success(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = toy_model("llama")
    anatomy = find_anatomy(model)
    monkeypatch.setattr(type(model), "_keys_to_ignore_on_save", ["model.norm.weight"])
    with pytest.raises(ExportError, match=r"missing keys model\.norm\.weight"):
        export_checkpoint(model, anatomy, [1], tokenizer, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_cannot_generate_with_a_cache_is_no_success(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = toy_model("recurrent-gemma")
    # Only recurrent blocks are left, and the cache counts its tokens in an attention block.
    with pytest.raises(ExportError, match="with a cache"):
        export_checkpoint(model, find_anatomy(model), [2, 5], tokenizer, tmp_path / "model")


def test_settings_that_transformers_will_not_save_are_said_in_one_line(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = toy_model("llama")
    model.generation_config.temperature = 0.5
    with pytest.raises(ExportError, match=r"cannot be saved: .*temperature") as caught:
        export_checkpoint(model, find_anatomy(model), [1], tokenizer, tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_irremovable_block_writes_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = toy_model("gpt2")
    model.config.scale_attn_by_inverse_layer_idx = True
    with pytest.raises(UnsupportedModelError):
        export_checkpoint(model, find_anatomy(model), [1], tokenizer, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_said_in_one_line(
    llama: PreTrainedModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*model"):
        export_checkpoint(llama, anatomy_of(llama), [1], tokenizer, tmp_path / "file" / "model")


def test_exporting_is_silent(
    llama: PreTrainedModel,
    tokenizer: Tokenizer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    export_checkpoint(llama, anatomy_of(llama), [1], tokenizer, tmp_path / "model")
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


@pytest.mark.parametrize("limit", [100, 2000, 20000])
def test_a_full_disk_is_said_in_one_line_and_leaves_the_older_folder(
    limit: int, llama: PreTrainedModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = _older_folder(tmp_path)
    anatomy = anatomy_of(llama)
    with pytest.raises(OutputError) as caught, files_of_at_most(limit):
        export_checkpoint(llama, anatomy, [1], tokenizer, folder)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"cannot write {folder}")
    assert "File too large" in line
    _assert_only_the_older_folder(tmp_path)
