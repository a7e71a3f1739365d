"""Packing: full windows, no padding, every token accounted for."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from evop_deap.base.errors import InputError
from evop_deap.calibration import Document, WindowSet, check_window, pack_windows
from evop_deap.text.tokens import special_prefix
from evop_deap.text.windows import cut_points

WORDS = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{number}": number + 3 for number in range(500)}
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def word_tokenizer(template: str | None = None) -> PreTrainedTokenizerFast:
    """One token a word; blank lines are no token."""
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _finished(tokenizer, template)


def byte_tokenizer(template: str | None = None) -> PreTrainedTokenizerFast:
    """One token a byte; a blank line is two."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    vocabulary |= {letter: number + 3 for number, letter in enumerate(BYTES)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            pre_tokenizers.Split("", "isolated"),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _finished(tokenizer, template)


def _finished(tokenizer: Tokenizer, template: str | None) -> PreTrainedTokenizerFast:
    if template is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=16,
    )


TOKENIZERS = {
    "words": word_tokenizer(),
    "words with a start": word_tokenizer("<s> $A"),
    "bytes": byte_tokenizer(),
    "bytes with a start": byte_tokenizer("<s> $A"),
    "words with start and end": word_tokenizer("<s> $A </s>"),
    "words with an end": word_tokenizer("$A </s>"),
}
PREFIXES = {name: (1,) if "start" in name else () for name in TOKENIZERS}


def numbered(lengths: list[int]) -> list[Document]:
    """Documents of so many words each."""
    return [
        Document(f"d{index}", " ".join(f"w{(31 * index + word) % 500}" for word in range(length)))
        for index, length in enumerate(lengths)
    ]


def pack(documents, tokenizer, window, tokens, seed=0) -> WindowSet:
    rng = np.random.default_rng(seed)
    return pack_windows(documents, tokenizer, window=window, tokens=tokens, rng=rng)


def plain_ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_only_the_tokens_before_a_text_are_its_prefix(name: str) -> None:
    assert special_prefix(TOKENIZERS[name]) == PREFIXES[name]


@settings(max_examples=150)
@given(
    st.sampled_from(sorted(TOKENIZERS)),
    st.lists(st.integers(0, 40), max_size=70),
    st.integers(2, 12),
    st.integers(1, 9),
    st.integers(0, 5),
)
def test_windows_are_full_and_every_token_is_where_its_stretch_says(
    name, lengths, window, count, seed
) -> None:
    tokenizer, prefix = TOKENIZERS[name], list(PREFIXES[name])
    documents = numbered(lengths)
    try:
        packed = pack(documents, tokenizer, window, count * window + window - 1, seed)
    except InputError:
        # Every short stretch may lose a part of itself, so only this much is certain.
        assert sum(max(length - window, 0) // window for length in lengths) < count
        return
    assert packed.tokens.shape == (count, window)
    assert packed.tokens.dtype == np.int64
    assert packed.prefix == tuple(prefix)

    source = {document.id: plain_ids(tokenizer, document.text) for document in documents}
    separator = plain_ids(tokenizer, "\n\n")
    heard: dict[str, list[int]] = defaultdict(list)
    for row, stretches in zip(packed.tokens.tolist(), packed.stretches, strict=True):
        rebuilt = list(prefix)
        for number, stretch in enumerate(stretches):
            assert stretch.tokens > 0
            rebuilt += separator if number else []
            positions = range(stretch.start, stretch.start + stretch.tokens)
            rebuilt += [source[stretch.document][position] for position in positions]
            heard[stretch.document] += positions
        if len(rebuilt) < window:
            rebuilt += separator
        assert rebuilt[:window] == row
    assert all(len(set(positions)) == len(positions) for positions in heard.values())


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(0, 5))
@settings(max_examples=50)
def test_a_larger_set_begins_with_the_smaller_one(lengths, seed) -> None:
    documents = numbered([*lengths, 90])
    tokenizer = TOKENIZERS["words"]
    few = pack(documents, tokenizer, 8, 16, seed)
    more = pack(documents, tokenizer, 8, 32, seed)
    assert np.array_equal(more.tokens[:2], few.tokens)
    assert more.stretches[:2] == few.stretches


def test_documents_are_heard_in_their_order_one_stretch_a_round() -> None:
    packed = pack(numbered([12, 4, 8]), TOKENIZERS["words"], 4, 24)
    first = [[stretch.document for stretch in stretches] for stretches in packed.stretches]
    assert first == [["d0"], ["d1"], ["d2"], ["d0"], ["d2"], ["d0"]]
    starts = {stretch.start for stretches in packed.stretches for stretch in stretches}
    assert starts == {0, 4, 8}


def test_an_exact_fill_uses_every_token() -> None:
    documents = numbered([12, 4, 8])
    packed = pack(documents, TOKENIZERS["words"], 4, 24)
    all_ids = [token for d in documents for token in plain_ids(TOKENIZERS["words"], d.text)]
    assert sorted(packed.tokens.ravel().tolist()) == sorted(all_ids)


def test_short_documents_share_a_window_with_a_blank_line_between() -> None:
    documents = [Document("a", "ab"), Document("b", "cde"), Document("c", "fgh")]
    tokenizer = TOKENIZERS["bytes"]
    packed = pack(documents, tokenizer, 9, 9)
    assert tokenizer.decode(packed.tokens[0].tolist()).replace(" ", "") == "ab\n\ncde\n\n"
    assert [stretch.document for stretch in packed.stretches[0]] == ["a", "b"]


def test_a_stretch_that_finds_a_window_full_starts_the_next() -> None:
    documents = [Document("a", "ab"), Document("b", "cdef")]
    packed = pack(documents, TOKENIZERS["bytes"], 4, 8)
    assert [[s.document for s in stretches] for stretches in packed.stretches] == [["a"], ["b"]]


def test_documents_without_tokens_are_passed_over() -> None:
    documents = [Document("blank", " \n "), *numbered([6]), Document("mark", "")]
    packed = pack(documents, TOKENIZERS["words"], 3, 6)
    assert {stretch.document for stretches in packed.stretches for stretch in stretches} == {"d0"}


def test_tiny_documents_fill_windows_together() -> None:
    packed = pack(numbered([1] * 40), TOKENIZERS["words"], 8, 40)
    assert [len(stretches) for stretches in packed.stretches] == [8] * 5


def test_a_set_does_not_depend_on_the_tokenizers_batches(monkeypatch) -> None:
    documents = numbered([30, 3, 50, 7] * 12)
    whole = pack(documents, TOKENIZERS["words"], 8, 480)
    monkeypatch.setattr("evop_deap.text.windows._BATCH_DOCUMENTS", 1)
    assert pack(documents, TOKENIZERS["words"], 8, 480).fingerprint == whole.fingerprint


def test_only_the_documents_that_are_needed_are_tokenised() -> None:
    class Unread(Document):
        @property
        def text(self) -> str:  # type: ignore[override]
            raise AssertionError("tokenised without need")

    unread = [object.__new__(Unread) for _ in range(10)]
    packed = pack([*numbered([8] * 32), *unread], TOKENIZERS["words"], 8, 32 * 8)
    assert len(packed.tokens) == 32


def test_every_token_of_a_long_document_is_equally_likely_to_be_heard_first() -> None:
    rng = np.random.default_rng(0)
    firsts = Counter(cut_points(10, 4, rng)[0] for _ in range(5_000))
    assert abs(firsts[(0, 4)] / 5_000 - 0.4) < 0.03
    assert abs(firsts[(4, 8)] / 5_000 - 0.4) < 0.03
    assert abs(firsts[(8, 10)] / 5_000 - 0.2) < 0.03


@given(st.integers(0, 100), st.integers(1, 12), st.integers(0, 9))
def test_cuts_cover_a_document_once(length, capacity, seed) -> None:
    cuts = cut_points(length, capacity, np.random.default_rng(seed))
    assert sorted(position for cut in cuts for position in range(*cut)) == list(range(length))
    assert all(end - start <= capacity for start, end in cuts)


def test_unicode_text_survives_packing() -> None:
    text = "naïve 日本語 🙂 e\u0301"
    tokenizer = TOKENIZERS["bytes"]
    ids = plain_ids(tokenizer, text)
    packed = pack([Document("u", text)], tokenizer, len(ids), len(ids))
    assert packed.tokens[0].tolist() == ids


def test_a_text_beyond_the_models_context_gives_no_warning(caplog) -> None:
    logging.getLogger("transformers").propagate = True
    with caplog.at_level("WARNING"):
        pack(numbered([400]), word_tokenizer(), 8, 16)
    assert not caplog.records


def test_the_fingerprint_tells_shape_and_tokens() -> None:
    def of(rows: list[list[int]]) -> str:
        return WindowSet(np.array(rows, dtype=np.int64), ()).fingerprint

    assert of([[1, 2], [3, 4]]) == of([[1, 2], [3, 4]])
    assert len({of([[1, 2], [3, 4]]), of([[1, 2, 3, 4]]), of([[1, 2], [3, 5]])}) == 3


@pytest.mark.parametrize(("window", "context"), [(2, None), (2, 2), (512, 512), (9, 10)])
def test_a_window_within_the_context_passes(window: int, context: int | None) -> None:
    check_window(window, context)


@pytest.mark.parametrize(
    ("window", "context", "message"),
    [
        (1, None, r"`window` must be at least 2.*but got 1"),
        (0, 8, r"`window` must be at least 2.*but got 0"),
        (-4, 8, r"`window` must be at least 2.*but got -4"),
        (513, 512, r"`window` must be at most the model's context of 512 tokens, but got 513"),
    ],
)
def test_a_window_that_cannot_be_used_is_refused(window, context, message) -> None:
    with pytest.raises(InputError, match=message):
        check_window(window, context)


@pytest.mark.parametrize("tokens", [-1, 0, 255])
def test_fewer_tokens_than_a_window_are_refused(tokens: int) -> None:
    with pytest.raises(InputError, match=rf"`tokens` \({tokens}\) must be at least `window` \(256"):
        pack(numbered([300]), TOKENIZERS["words"], 256, tokens)


def test_a_window_that_only_special_tokens_fill_is_refused() -> None:
    tokenizer = word_tokenizer("<s> </s> $A")
    with pytest.raises(InputError, match=r"room after the 2 special tokens.*but got 2"):
        pack(numbered([9]), tokenizer, 2, 2)
    assert pack(numbered([9]), tokenizer, 3, 6).tokens[:, :2].tolist() == [[1, 2]] * 2


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (
            [8, 8, 3],
            r"4 windows of 8 tokens.*3 documents.*only 2 \(19 tokens\); lower it to 16, or",
        ),
        ([5], r"4 windows.*fill only 0 \(5 tokens\); lower `window` as well, or give a larger"),
        ([], r"4 windows.*the 0 documents"),
    ],
)
def test_a_corpus_too_small_says_what_would_do(lengths, message) -> None:
    with pytest.raises(InputError, match=message):
        pack(numbered(lengths), TOKENIZERS["words"], 8, 32)
