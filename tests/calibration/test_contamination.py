"""Documents that repeat evaluation data are found and left out."""

from __future__ import annotations

import json

import pytest

from evop_deap.base.errors import InputError
from evop_deap.calibration.contamination import without_repeats
from evop_deap.text.documents import Document, make_corpus

PASSAGE = (
    "The quick brown fox jumps over the lazy dog and then it runs back home to sleep until dawn."
)


def corpus(*texts: str):
    return make_corpus("toy", [Document(f"d{i}", text) for i, text in enumerate(texts)])


def refused(found) -> list[str]:
    return [refusal.document for refusal in found[1]]


def test_thirteen_words_in_a_row_are_a_repeat_whatever_their_case_and_points(tmp_path) -> None:
    (tmp_path / "eval.txt").write_text(f"Before.\n\n{PASSAGE}\n\nAfter.")
    shouted = "so: " + PASSAGE.upper().replace(" ", ", ")
    twelve = " ".join(PASSAGE.split()[:12]) + " and something else that nobody has ever said here."
    found = without_repeats(corpus("Nothing of it.", shouted, twelve), [str(tmp_path / "eval.txt")])
    assert refused(found) == ["d1"]
    assert [document.id for document in found[0].documents] == ["d0", "d2"]
    assert found[1][0].file == "eval.txt"
    assert found[1][0].words == " ".join(PASSAGE.lower().split()[:13])
    assert found[2][0]["name"] == "eval.txt"
    assert len(found[2][0]["sha256"]) == 64


def test_letters_of_texts_without_spaces_count_as_words(tmp_path) -> None:
    text = "".join(chr(0x4E00 + 7 * i) for i in range(40))
    corpus = make_corpus("c", [Document("a", text), Document("b", text[::-1])])
    (tmp_path / "test.txt").write_text(f"{text[5:30]}", encoding="utf-8")
    rest, refused, _ = without_repeats(corpus, [str(tmp_path / "test.txt")])
    assert [one.document for one in refused] == ["a"]
    assert [one.id for one in rest.documents] == ["b"]


def test_every_string_of_a_table_counts_however_deep(tmp_path) -> None:
    row = {"goal": "none", "choices": {"text": ["a", PASSAGE]}, "label": 1}
    (tmp_path / "task.jsonl").write_text(json.dumps(row) + "\n")
    found = without_repeats(corpus(PASSAGE, "Other."), [str(tmp_path / "task.jsonl")])
    assert refused(found) == ["d0"]


def test_a_short_document_is_a_repeat_where_all_of_it_stands_there(tmp_path) -> None:
    (tmp_path / "eval.txt").write_text(PASSAGE)
    found = without_repeats(
        corpus(
            "brown fox jumps over the lazy", "The fox.", "brown fox jumps under the lazy", "..."
        ),
        [str(tmp_path / "eval.txt")],
    )
    assert refused(found) == ["d0"]


def test_without_repeats_the_corpus_stays_as_it_is(tmp_path) -> None:
    (tmp_path / "eval.txt").write_text("Something else.")
    whole = corpus(PASSAGE, "More.")
    assert without_repeats(whole, [str(tmp_path / "eval.txt")])[0] is whole


def test_a_corpus_of_nothing_but_repeats_is_refused(tmp_path) -> None:
    (tmp_path / "eval.txt").write_text(PASSAGE)
    with pytest.raises(InputError, match="every document of toy repeats evaluation data"):
        without_repeats(corpus(PASSAGE), [str(tmp_path / "eval.txt")])


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="`check_against` must name files, but .*nowhere is not a"):
        without_repeats(corpus("a"), [str(tmp_path / "nowhere")])
