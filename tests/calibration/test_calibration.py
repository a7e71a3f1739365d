"""The calibration set: reproducible, never held out and calibrated on at once, on record."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from evop_deap.base.errors import InputError
from evop_deap.base.files import sha256_of_text, write_json
from evop_deap.calibration import (
    CalibrationSet,
    Corpus,
    Document,
    build_calibration,
    load_corpus,
    make_corpus,
)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return corpus_of([30 + 37 * number % 200 for number in range(40)])


def corpus_of(lengths: list[int]) -> Corpus:
    """Documents of so many characters; each one's letters are found in no other."""
    documents = [
        Document(f"d{index}", chr(0x4E00 + index) * length) for index, length in enumerate(lengths)
    ]
    return make_corpus("toy", documents)


def built(corpus: Corpus, tokenizer: PreTrainedTokenizerFast, **changes) -> CalibrationSet:
    arguments = {"window": 16, "tokens": 320, "heldout_tokens": 160, "seed": 3} | changes
    return build_calibration(corpus, tokenizer, **arguments)


def prints(made: CalibrationSet) -> tuple[str, str]:
    return made.calibration.fingerprint, made.heldout.fingerprint


def test_the_same_seed_gives_the_same_set(corpus, tokenizer) -> None:
    one, two = built(corpus, tokenizer), built(corpus, tokenizer)
    assert np.array_equal(one.calibration.tokens, two.calibration.tokens)
    assert np.array_equal(one.heldout.tokens, two.heldout.tokens)
    assert one.manifest == two.manifest
    assert one.calibration.tokens.shape == (20, 16)
    assert one.heldout.tokens.shape == (10, 16)


def test_another_seed_gives_another_set(corpus, tokenizer) -> None:
    made = [prints(built(corpus, tokenizer, seed=seed)) for seed in range(10)]
    assert len({calibration for calibration, _ in made}) == 10
    assert len({heldout for _, heldout in made}) == 10


def test_more_heldout_text_leaves_the_calibration_windows_as_they_are(corpus, tokenizer) -> None:
    few = built(corpus, tokenizer)
    more = built(corpus, tokenizer, heldout_tokens=480)
    assert more.calibration.fingerprint == few.calibration.fingerprint
    assert np.array_equal(more.heldout.tokens[:10], few.heldout.tokens)
    longer = built(corpus, tokenizer, tokens=640)
    assert longer.heldout.fingerprint == few.heldout.fingerprint
    assert np.array_equal(longer.calibration.tokens[:20], few.calibration.tokens)


def test_the_heldout_part_does_not_depend_on_the_strategy(corpus, tokenizer) -> None:
    def first_documents(documents, rng):
        return range(len(documents))

    random = built(corpus, tokenizer)
    ordered = built(corpus, tokenizer, sampler=first_documents, strategy="first")
    assert ordered.heldout.fingerprint == random.heldout.fingerprint
    if random.validation is not None:
        assert ordered.validation.fingerprint == random.validation.fingerprint
    assert ordered.calibration.fingerprint != random.calibration.fingerprint
    assert ordered.manifest["strategy"] == "first"
    names = [entry["id"] for entry in ordered.manifest["calibration"]["documents"]]
    assert names == sorted(names, key=lambda name: int(name[1:]))


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 90), min_size=2, max_size=40),
    st.integers(2, 20),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 1_000),
    st.floats(0.05, 0.95),
)
def test_no_document_is_in_two_of_the_parts(
    tokenizer, lengths, window, count, heldout_count, seed, share
) -> None:
    corpus = corpus_of(lengths)
    try:
        made = built(
            corpus,
            tokenizer,
            window=window,
            tokens=count * window,
            heldout_tokens=heldout_count * window,
            seed=seed,
            heldout_share=share,
        )
    except InputError:  # too small for what was asked
        return
    parts = {"calibration": made.calibration, "heldout": made.heldout}
    if made.validation is not None:
        parts["validation"] = made.validation
        assert 1 <= len(made.validation.tokens) <= count
    assert ("validation" in made.manifest) == (made.validation is not None)
    documents = {name: part.documents for name, part in parts.items()}
    for name, names in documents.items():
        assert names == {s.document for stretches in parts[name].stretches for s in stretches}
        assert {entry["id"] for entry in made.manifest[name]["documents"]} == names
    heard = {
        name: {letter for row in part.tokens.tolist() for letter in tokenizer.decode(row)}
        for name, part in parts.items()
    }
    for one, other in itertools.combinations(parts, 2):
        assert not documents[one] & documents[other]
        # A window may begin within a letter's bytes, which shows as the replacement character.
        assert heard[one] & heard[other] <= {"\n", "\ufffd"}


def test_documents_that_held_out_text_leaves_fill_as_many_windows_as_are_calibrated_on(
    tokenizer,
) -> None:
    corpus = corpus_of([100] * 20)  # five of them are held out
    made = built(corpus, tokenizer, tokens=64, heldout_tokens=32)
    assert made.validation is not None
    assert made.validation.tokens.shape == (4, 16)
    # Three documents are too few for a hundred windows: as many as they fill.
    many = built(corpus, tokenizer, tokens=1600, heldout_tokens=32)
    assert many.validation is not None
    assert 4 < len(many.validation.tokens) < 100
    # Held-out windows come first; where they leave no document, there are none.
    whole = built(corpus, tokenizer, tokens=64, heldout_tokens=96)
    assert whole.validation is None
    assert "validation" not in whole.manifest
    assert whole.calibration.fingerprint == made.calibration.fingerprint


def test_the_manifest_is_plain_json_and_names_all_it_takes_to_build_the_windows_again(
    corpus, tokenizer, tmp_path
) -> None:
    made = built(corpus, tokenizer)
    write_json(tmp_path / "calibration.json", made.manifest)
    manifest = json.loads((tmp_path / "calibration.json").read_text())
    assert manifest == made.manifest

    assert manifest["corpus"] == {
        "name": "toy",
        "fingerprint": corpus.fingerprint,
        "documents": len(corpus.documents),
        "skipped": [],
    }
    assert (manifest["strategy"], manifest["seed"], manifest["window"]) == ("random", 3, 16)
    assert (manifest["tokens"], manifest["heldout_tokens"]) == (320, 160)
    assert {"evop_deap", "transformers", "tokenizers", "datasets", "numpy"} == set(
        manifest["versions"]
    )
    texts = {document.id: document.text for document in corpus.documents}
    separator = tokenizer("\n\n", add_special_tokens=False)["input_ids"]
    parts = {"calibration": made.calibration, "heldout": made.heldout}
    for name, part in {**parts, "validation": made.validation}.items():
        if part is None:
            assert name not in manifest
            continue
        said = manifest[name]
        assert said["fingerprint"] == part.fingerprint
        for index, stretches in enumerate(said["windows"]):
            tokens = list(said["prefix"])
            for number, stretch in enumerate(stretches):
                ids = tokenizer(texts[stretch["document"]], add_special_tokens=False)["input_ids"]
                tokens += separator if number else []
                tokens += ids[stretch["start"] : stretch["start"] + stretch["tokens"]]
            assert (tokens + separator)[:16] == part.tokens[index].tolist()
        for entry in said["documents"]:
            assert entry["sha256"] == sha256_of_text(texts[entry["id"]])
            held = [
                index
                for index, stretches in enumerate(said["windows"])
                if entry["id"] in [stretch["document"] for stretch in stretches]
            ]
            assert entry["windows"] == held


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 1}, r"`window` must be at least 2"),
        ({"window": 1024, "context": 512}, r"model's context of 512 tokens, but got 1024"),
        ({"tokens": 15}, r"`tokens` \(15\) must be at least `window` \(16\)"),
        ({"heldout_tokens": 15}, r"`heldout_tokens` \(15\) must be at least `window` \(16\)"),
        ({"heldout_tokens": 0}, r"`heldout_tokens` \(0\) must be at least"),
        ({"tokens": 10**9}, r"`tokens` \(1000000000\) asks for .*; lower it to \d+, or"),
        ({"heldout_tokens": 10**9}, r"`heldout_tokens` \(1000000000\) asks for .*; lower it to"),
        ({"heldout_share": 1.0}, r"`heldout_share` must be between 0 and 1"),
        ({"seed": -1}, r"`seed` must be at least 0, but got -1"),
    ],
)
def test_arguments_out_of_range_end_in_one_line(corpus, tokenizer, changes, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        built(corpus, tokenizer, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["tokens", "heldout_tokens"])
def test_what_a_message_says_would_do_does(corpus, tokenizer, part: str) -> None:
    with pytest.raises(InputError) as caught:
        built(corpus, tokenizer, **{part: 10**6})
    enough = int(str(caught.value).partition("lower it to ")[2].partition(",")[0])
    built(corpus, tokenizer, **{part: enough})
    with pytest.raises(InputError):
        built(corpus, tokenizer, **{part: enough + 16})


def test_a_corpus_of_one_document_is_too_small(tokenizer) -> None:
    with pytest.raises(InputError, match=r"at least 2 documents"):
        built(corpus_of([500]), tokenizer)


def test_a_text_file_becomes_a_calibration_set(tmp_path, tokenizer) -> None:
    sentences = [f"Sentence number {number} says something. " for number in range(600)]
    (tmp_path / "book.txt").write_text("\n\n".join(sentences))
    made = built(load_corpus(str(tmp_path / "book.txt")), tokenizer)
    words = tokenizer.decode(made.calibration.tokens.ravel().tolist())
    assert "entence" in words
    assert made.manifest["corpus"]["name"] == "book.txt"
