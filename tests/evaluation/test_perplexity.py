"""Perplexity of finished models: the protocol, its errors, and texts as they are read."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from toy_models import toy_model, toy_tokenizer, toy_tokens
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from evop_deap.base.errors import InputError
from evop_deap.evaluation.estimates import difference_of, mean_of
from evop_deap.evaluation.perplexity import Perplexity, cut_windows, measure_perplexity
from evop_deap.evaluation.window_losses import window_losses
from evop_deap.evaluation.window_start import WindowStart
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.surgery.bypass import bypassed
from evop_deap.text.corpus import MAX_DOCUMENTS
from evop_deap.text.hub_corpora import PRESETS, Preset
from evop_deap.text.whole_texts import EvaluationText, join_wikitext, read_text

WORDS = "The river runs down to the sea, and the sea is never full. " * 20


def whole(text: str) -> EvaluationText:
    return EvaluationText("words", {"": text}, "as it stands")


@pytest.fixture(scope="module")
def model(toy_checkpoint: Path) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(toy_checkpoint)
    return loaded.eval()


def test_the_loss_of_windows_is_the_models_own(any_or_rare_model: PreTrainedModel) -> None:
    tokens = toy_tokens(rows=3, length=24)
    with torch.no_grad():
        own = [
            float(any_or_rare_model(row[None], labels=row[None], use_cache=False).loss)
            for row in tokens
        ]
    found = window_losses(any_or_rare_model, tokens.numpy())
    np.testing.assert_allclose(found, own, rtol=2e-4)


def test_a_model_with_blocks_bypassed_is_measured_as_it_runs() -> None:
    model = toy_model("gemma2")
    anatomy, tokens = find_anatomy(model), toy_tokens(rows=2, length=24)
    dense = window_losses(model, tokens.numpy())
    with bypassed(anatomy, [1, 3]):
        with torch.no_grad():
            own = [float(model(row[None], labels=row[None]).loss) for row in tokens]
        found = window_losses(model, tokens.numpy())
    np.testing.assert_allclose(found, own, rtol=1e-4)
    np.testing.assert_array_equal(window_losses(model, tokens.numpy()), dense)


def test_a_head_that_is_no_plain_matrix_is_run_as_it_is(model: PreTrainedModel) -> None:
    class Doubled(torch.nn.Module):
        def __init__(self, head: torch.nn.Module) -> None:
            super().__init__()
            self.head = head

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return 2 * self.head(hidden)

    tokens = toy_tokens(rows=3, length=24)
    head = model.lm_head
    model.lm_head = Doubled(head)
    try:
        with torch.no_grad():
            own = [float(model(row[None], labels=row[None]).loss) for row in tokens]
        found = window_losses(model, tokens.numpy())
    finally:
        model.lm_head = head
    np.testing.assert_allclose(found, own, rtol=1e-4)


def test_windows_do_not_overlap_and_the_last_one_is_left_out_unless_full(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = torch.tensor(tokenizer(WORDS).input_ids)
    count = len(ids) // 40
    assert len(ids) % 40
    (found,) = measure_perplexity(model, tokenizer, whole(WORDS), window=40)
    losses = []
    for i in range(count):
        row = ids[None, 40 * i : 40 * (i + 1)]
        with torch.no_grad():
            losses.append(float(model(row, labels=row).loss))
    assert len(found.losses) == count
    assert found.tokens == 39 * count
    assert found.value == pytest.approx(math.exp(sum(losses) / count), rel=1e-4)
    (first,) = measure_perplexity(model, tokenizer, whole(WORDS), window=40, max_windows=2)
    np.testing.assert_array_equal(first.losses, found.losses[:2])


def beginning(*names: str) -> PreTrainedTokenizerFast:
    """The toy tokenizer, putting these special tokens before every text."""
    own = toy_tokenizer()
    own._tokenizer.post_processor = TemplateProcessing(
        single=[*names, "$A"],
        special_tokens=[(name, own.convert_tokens_to_ids(name)) for name in names],
    )
    return own


def test_special_tokens_stand_once_before_the_text_where_that_is_wanted() -> None:
    own = beginning("<s>")
    ((_, windows),) = cut_windows(own, whole(WORDS), window=10, prefix=False)
    assert windows[0, 0] == own.bos_token_id
    assert (windows == own.bos_token_id).sum() == 1


@pytest.mark.parametrize("names", [(), ("<s>",), ("</s>", "<s>")])
def test_every_window_begins_as_the_tokenizer_begins_a_text(
    names: tuple[str, ...], model: PreTrainedModel
) -> None:
    own = beginning(*names)
    prefix, room = own.convert_tokens_to_ids(list(names)), 20 - len(names)
    ids = own(WORDS, add_special_tokens=False).input_ids
    (found,) = measure_perplexity(model, own, whole(WORDS), window=20)
    losses = []
    for start in range(0, len(ids) - room + 1, room):
        row = torch.tensor([[*prefix, *ids[start : start + room]]])
        labels = row.clone()
        labels[:, : len(names)] = -100
        with torch.no_grad():
            losses.append(float(model(row, labels=labels).loss))
    np.testing.assert_allclose(found.losses, losses, rtol=1e-4)
    assert found.tokens == len(losses) * (20 - max(1, len(names)))
    assert found.start.names == names


def test_a_head_that_is_no_plain_matrix_leaves_special_tokens_out_too(
    model: PreTrainedModel,
) -> None:
    tokens = toy_tokens(rows=2, length=12).numpy()
    expected = window_losses(model, tokens, given=3)
    head = model.lm_head
    model.lm_head = torch.nn.Sequential(head)
    try:
        np.testing.assert_allclose(window_losses(model, tokens, given=3), expected, rtol=1e-4)
    finally:
        model.lm_head = head


def test_a_window_of_special_tokens_alone_is_refused(model: PreTrainedModel) -> None:
    with pytest.raises(InputError, match="leave room after the 2 special tokens"):
        measure_perplexity(model, beginning("</s>", "<s>"), whole(WORDS), window=2)


def test_later_windows_that_miss_the_special_tokens_are_warned_of() -> None:
    start = WindowStart.of(beginning("<s>"), everywhere=False)
    needy = Perplexity("t", "", 64, np.array([2.7, 4.4, 4.1, 4.6]), start)
    assert needy.gap == pytest.approx(1.667, abs=1e-3)
    assert needy.warning is not None
    assert "1.67 nats" in needy.warning
    assert "<s>" in needy.warning
    assert Perplexity("t", "", 64, np.array([2.7, 2.9, 2.4]), start).warning is None
    assert Perplexity("t", "", 64, np.array([2.7, 4.4, 4.1, 4.6])).warning is None
    assert Perplexity("t", "", 64, np.array([2.7]), start).warning is None


def test_all_of_a_text_is_the_mean_over_the_windows_of_its_domains(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    parts = {"a": WORDS, "b": "Numbers such as 1, 2, 30 and 400. " * 9, "short": "no"}
    found = measure_perplexity(model, tokenizer, EvaluationText("t", parts, ""), window=32)
    assert [one.domain for one in found] == ["", "a", "b"]
    np.testing.assert_array_equal(found[0].losses, np.concatenate([f.losses for f in found[1:]]))


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20), st.floats(-3, 3))
def test_a_shift_that_two_models_share_window_by_window_has_no_error(
    losses: list[float], shift: float
) -> None:
    excess = difference_of(np.array(losses) + shift, losses)
    assert excess.value == pytest.approx(shift, abs=1e-9)
    assert excess.error == pytest.approx(0.0, abs=1e-9)


def test_errors_are_standard_errors_of_the_mean() -> None:
    assert mean_of([1.0, 2.0, 3.0, 6.0]).error == pytest.approx(math.sqrt(14 / 3 / 4))
    assert mean_of([2.0]).error is None
    found = Perplexity("t", "", 8, np.log([2.0, 4.0, 8.0]))
    assert found.error == pytest.approx(4.0 * math.log(2.0) / math.sqrt(3.0))


def test_a_loss_too_large_for_a_perplexity_is_infinite_and_null_in_json() -> None:
    found = Perplexity("t", "", 8, np.array([800.0, 900.0]))
    assert found.value == math.inf
    plain = found.as_dict()
    assert plain["perplexity"] is None
    assert plain["loss"]["value"] == 850.0
    json.dumps(plain, allow_nan=False)


def test_wikitext_is_joined_as_its_published_rows_are(tmp_path: Path) -> None:
    # Rows as published: blank ones are empty, the others keep their line end.
    rows = ["", " = Robert = \n", "", " He was . \n", " It\u2028was . \n"]
    raw = "".join(row or " \n" for row in rows)
    assert join_wikitext(raw) == "\n\n".join(rows)
    (tmp_path / "wiki.test.raw").write_text(raw, encoding="utf-8")
    (tmp_path / "other.raw").write_text(raw, encoding="utf-8")
    assert read_text(str(tmp_path / "wiki.test.raw")).parts == {"": "\n\n".join(rows)}
    assert read_text(str(tmp_path / "other.raw")).parts == {"": raw}


def test_wikitext_from_the_hub_is_the_text_of_its_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # A folder stands in for the repository: `datasets` reads either the same way.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    preset = Preset(str(tmp_path / "hub"), "default", streamed=False, lines=True, documents=9)
    monkeypatch.setitem(PRESETS, "wikitext2", preset)
    (tmp_path / "hub").mkdir()
    with pytest.raises(InputError, match="wikitext2 could not be read from the hub"):
        read_text("wikitext2")
    rows = ["", " = Robert = \n", "", " He was . \n"]
    for split, published in (("train", ["no"]), ("test", rows)):
        lines = "".join(json.dumps({"text": row}) + "\n" for row in published)
        (tmp_path / "hub" / f"{split}.jsonl").write_text(lines)
    (tmp_path / "wiki.test.raw").write_text(" \n = Robert = \n \n He was . \n")
    assert read_text("wikitext2").parts == read_text(str(tmp_path / "wiki.test.raw")).parts
    assert capfd.readouterr() == ("", "")


def test_a_domain_may_have_the_number_0(tmp_path: Path) -> None:
    path = tmp_path / "numbered.jsonl"
    path.write_text('{"domain": 0, "text": "a"}\n{"domain": 1, "text": "b"}\n{"text": "c"}\n')
    assert read_text(str(path)).parts == {"0": "a", "1": "b", "none": "c"}


def test_a_table_with_domains_is_read_by_domain(tmp_path: Path) -> None:
    rows = [("b", "one"), ("a", "two"), ("b", "three"), ("b", " ")]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps({"domain": d, "text": t}) + "\n" for d, t in rows))
    assert read_text(str(path)).parts == {"a": "two", "b": "one\n\nthree"}
    path.write_text("".join(json.dumps({"text": t}) + "\n" for _, t in rows))
    assert read_text(str(path)).parts == {"": "one\n\ntwo\n\nthree"}


def test_a_folder_is_read_whole_in_the_order_of_its_files(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(f"text of {name}")
    assert read_text(str(tmp_path)).parts == {"": "text of a\n\ntext of b"}


def test_a_text_for_evaluation_is_read_to_its_end(tmp_path: Path) -> None:
    rows = (json.dumps({"text": str(row)}) + "\n" for row in range(MAX_DOCUMENTS + 1))
    (tmp_path / "long.jsonl").write_text("".join(rows) + '{"text": "0"}\n')
    read = read_text(str(tmp_path / "long.jsonl"))
    assert read.parts[""].endswith(f"\n\n{MAX_DOCUMENTS}")
    assert read.protocol == "distinct documents joined by blank lines"


@pytest.mark.parametrize("source", ["nowhere.txt", "", "x" * 5000])
def test_a_text_that_is_not_there_is_said_of_perplexity(source: str) -> None:
    with pytest.raises(InputError, match="`perplexity` must be a file"):
        read_text(source)


@pytest.mark.parametrize("name", ["rows.jsonl", "packed.txt.gz"])
def test_a_text_that_cannot_be_read_is_said_of_perplexity(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"text":')
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(InputError, match=f"`perplexity`: cannot read .*{name}"):
            read_text(str(source))


def test_an_empty_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(InputError, match="holds no text"):
        read_text(str(tmp_path / "empty.txt"))


@pytest.mark.parametrize(("window", "says"), [(1, "at least 2"), (129, "at most"), (100, "longer")])
def test_a_window_that_does_not_fit_is_refused(
    window: int, says: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(InputError, match=says):
        measure_perplexity(model, tokenizer, whole("A few words."), window=window, context=128)


def test_a_repeated_row_counts_once_in_its_domain(tmp_path: Path) -> None:
    rows = [("a", "one"), ("b", "two"), ("a", "one "), ("a", "three"), ("b", "one")]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps({"domain": d, "text": t}) + "\n" for d, t in rows))
    read = read_text(str(path))
    assert read.parts == {"a": "one\n\nthree", "b": "two\n\none"}
    assert read.protocol == "distinct documents of a domain joined by blank lines"


def test_a_row_of_a_domain_whose_text_is_a_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "numbers.jsonl"
    path.write_text('{"domain": "a", "text": 1}\n{"domain": "a", "text": 2}\n')
    says = "`text_column` 'text' of .*numbers.jsonl must hold strings, but row 0 holds int"
    with pytest.raises(InputError, match=says):
        read_text(str(path))
