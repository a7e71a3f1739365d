"""Reading corpora: what is accepted, how it comes apart, and how bad input is told."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import io
import json
import lzma
import os
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.base.errors import InputError
from evop_deap.calibration import Corpus, Document, load_corpus, make_corpus, split_text
from evop_deap.text.corpus import check_corpus
from evop_deap.text.hub_corpora import PRESETS, Preset
from evop_deap.text.split_text import PASSAGE_CHARACTERS

ROWS = [{"text": "alpha one"}, {"text": "beta two"}, {"text": "gamma three"}]


def texts(corpus: Corpus) -> list[str]:
    return [document.text for document in corpus.documents]


def ids(corpus: Corpus) -> list[str]:
    return [document.id for document in corpus.documents]


def parquet_bytes(columns: dict[str, list]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def lines_of(rows: list) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


FORMATS = {
    "rows.jsonl": lines_of(ROWS),
    "rows.json": json.dumps(ROWS, indent=1).encode(),
    "rows.csv": b"text,n\nalpha one,1\nbeta two,2\ngamma three,3\n",
    "rows.tsv": b"n\ttext\n1\talpha one\n2\tbeta two\n3\tgamma three\n",
    "rows.parquet": parquet_bytes({"text": [row["text"] for row in ROWS]}),
    "rows.jsonl.gz": gzip.compress(lines_of(ROWS)),
    "rows.jsonl.xz": lzma.compress(lines_of(ROWS)),
    "rows.jsonl.bz2": bz2.compress(lines_of(ROWS)),
    "rows.CSV.XZ": lzma.compress(b"text\nalpha one\nbeta two\ngamma three\n"),
    "rows.ndjson": lines_of(ROWS),
    "rows.csv.gz": gzip.compress(b"text\nalpha one\nbeta two\ngamma three\n"),
    "ROWS.JSONL": lines_of(ROWS),
    "odd [1]*.jsonl": lines_of(ROWS),
    ".hidden.jsonl": lines_of(ROWS),
    "bom.jsonl": b"\xef\xbb\xbf" + lines_of(ROWS),
}


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("name", FORMATS)
def test_every_table_format_gives_the_same_corpus(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FORMATS[name])
    corpus = load_corpus(str(tmp_path / name))
    assert texts(corpus) == ["alpha one", "beta two", "gamma three"]
    assert ids(corpus) == [f"{name}#0", f"{name}#1", f"{name}#2"]
    assert corpus.name == name
    plain = make_corpus("x", [Document(str(i), row["text"]) for i, row in enumerate(ROWS)])
    assert corpus.fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    "name",
    ["note.txt", "note.md", "note.raw", "note", *(f"note.txt.{packed}" for packed in PACKERS)],
)
def test_a_text_is_read_whole(tmp_path: Path, name: str) -> None:
    data = "First line\n\nsecond père\n".encode()
    pack = PACKERS.get(name.rpartition(".")[2], bytes)
    (tmp_path / name).write_bytes(pack(data))
    corpus = load_corpus(str(tmp_path / name))
    assert corpus.documents == (Document(f"{name}#0", "First line\n\nsecond père"),)


def test_line_ends_and_byte_order_marks_leave_no_trace(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\rthree\n")
    (tmp_path / "b.jsonl").write_bytes(lines_of([{"text": "four\r\nfive"}]))
    assert texts(load_corpus(str(tmp_path))) == ["one\n\ntwo\nthree", "four\nfive"]


def test_rows_without_text_and_repeated_texts_are_dropped(tmp_path: Path) -> None:
    rows = [
        {"text": "same"},
        {"text": None},
        {"text": ""},
        {"text": " \n\t"},
        {"text": "same\n"},
        {"text": "other"},
        {"text": "same"},
    ]
    (tmp_path / "rows.jsonl").write_bytes(lines_of(rows))
    corpus = load_corpus(str(tmp_path / "rows.jsonl"))
    assert corpus.documents == (
        Document("rows.jsonl#0", "same"),
        Document("rows.jsonl#5", "other"),
    )


def test_a_text_that_is_in_two_files_is_kept_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines_of(ROWS))
    (tmp_path / "b.jsonl").write_bytes(lines_of([*ROWS, {"text": "new"}]))
    assert ids(load_corpus(str(tmp_path))) == ["a.jsonl#0", "a.jsonl#1", "a.jsonl#2", "b.jsonl#3"]


def test_rows_are_named_by_their_own_id_where_it_is_new(tmp_path: Path) -> None:
    named = [{"id": "x", "text": "1"}, {"id": "y", "text": "2"}]
    clashing = [{"id": "y", "text": "3"}, {"id": "", "text": "4"}, {"id": "z", "text": "5"}]
    numbered = [{"id": 7, "text": "6"}]
    for name, rows in (("a", named), ("b", clashing), ("c", numbered)):
        (tmp_path / f"{name}.jsonl").write_bytes(lines_of(rows))
    assert ids(load_corpus(str(tmp_path))) == ["x", "y", "b.jsonl#0", "b.jsonl#1", "z", "c.jsonl#0"]


def test_a_folder_is_read_recursively_in_the_order_of_paths(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/b/c.txt", ".git/x.txt", ".hidden.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "empty.jsonl").touch()
    corpus = load_corpus(str(tmp_path))
    assert ids(corpus) == ["a/b/c.txt#0", "a/z.txt#0", "b.txt#0"]


def test_the_fingerprint_tells_order_and_texts_but_not_names() -> None:
    one, two = Document("1", "one"), Document("2", "two")
    prints = [
        make_corpus("a", documents).fingerprint
        for documents in ([one, two], [two, one], [one], [Document("3", "one"), two])
    ]
    assert len(set(prints[:3])) == 3
    assert prints[3] == prints[0]


def test_ids_that_files_make_up_are_new(tmp_path: Path) -> None:
    rows = [{"id": "a.jsonl#1", "text": "one"}, {"id": None, "text": "two"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ids = [one.id for one in load_corpus(str(tmp_path / "a.jsonl")).documents]
    assert ids == ["a.jsonl#1", "a.jsonl#1'"]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_every_row_of_a_longer_table_is_read(tmp_path: Path, suffix: str) -> None:
    words = [f"row {number}" for number in range(1234)]
    data = {
        "jsonl": lines_of([{"text": word} for word in words]),
        "csv": "\n".join(["text", *words]).encode(),
        "parquet": parquet_bytes({"text": words}),
    }[suffix]
    (tmp_path / f"rows.{suffix}").write_bytes(data)
    corpus = load_corpus(str(tmp_path / f"rows.{suffix}"))
    assert texts(corpus) == words
    assert ids(corpus)[-1] == f"rows.{suffix}#1233"
    assert (corpus.is_cut, corpus.left_out) == (False, "")
    cut = load_corpus(str(tmp_path), max_documents=500)
    assert texts(cut) == words[:500]
    assert cut.left_out == "only the first 500 documents are read"


def test_the_first_documents_are_kept_and_the_rest_not_even_read() -> None:
    def endless():
        number = 0
        while True:
            yield Document(str(number), f"text {number // 2}")
            number += 1

    corpus = make_corpus("endless", endless(), max_documents=3)
    assert ids(corpus) == ["0", "2", "4"]
    assert corpus.is_cut


@pytest.mark.parametrize(
    ("rows", "column", "expected"),
    [
        ([{"content": "a", "n": 1}], None, "a"),
        ([{"id": "x", "content": "a"}], None, "a"),
        ([{"title": "t", "text": "a"}], None, "a"),
        ([{"title": "t", "text": "a"}], "title", "t"),
        ([{"a": "x", "b": "y"}], "b", "y"),
        ([{"n": 1}, {"n": 2, "late": "a"}], None, "a"),
        ([{"text": "a", "meta": {"k": [1]}}], None, "a"),
    ],
)
def test_the_text_column_is_found_or_chosen(tmp_path, rows, column, expected) -> None:
    (tmp_path / "rows.jsonl").write_bytes(lines_of(rows))
    assert texts(load_corpus(str(tmp_path / "rows.jsonl"), text_column=column)) == [expected]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"text\none; two\n"),
        ("a.csv", b'"id;text"\none; two\n'),
        ("a.csv", b'"a ""text""; raw"\r\none; two\r\n'),
        ("a.csv", b"id;number,text\n1,one; two\n"),
        ("a.tsv", b"text\none; two\n"),
        ("a.tsv", b'"a, b; c"\none; two\n'),
    ],
)
def test_a_table_of_one_column_may_hold_other_separators(
    tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    assert texts(load_corpus(str(tmp_path / name))) == ["one; two"]


# Without the time in it: every process must name the test alike.
TRUNCATED = gzip.compress(b"text " * 999, mtime=0)[:-9]


@pytest.mark.parametrize(
    ("name", "data", "column", "message"),
    [
        ("a.jsonl", lines_of([{"q": "x", "w": "y"}]), None, r"`text_column`.*columns: q, w"),
        ("a.jsonl", lines_of([{"q": 1}]), None, r"`text_column`.*columns: q"),
        ("a.jsonl", lines_of(ROWS), "body", r"`text_column`.*'body'.*columns: text"),
        ("a.csv", b"text,n\nhi,1\n", "n", r"must hold strings, but row 0 holds int"),
        ("a.json", b'{"data": [{"text": "a"}, {"text": "b"}]}', None, r"nested JSON \(keys: data"),
        ("a.json", b'{"version": "1", "data": [{"p": "a"}]}', None, r"nested JSON"),
        ("a.json", b'{"a": {"text": "x"}, "b": {"text": "y"}}', None, r"nested JSON"),
        ("a.json", b"3", None, r"cannot read .*a\.json"),
        ("a.json", b"[]", None, r"a\.json holds no text"),
        ("a.jsonl", b'{"text": "a"}\n{"text":', None, r"cannot read .*JSON parse error"),
        ("a.jsonl", '{"text": "é"}'.encode("latin-1"), None, r"not UTF-8"),
        ("a.csv", "text\né\n".encode("latin-1"), None, r"not UTF-8"),
        ("a.csv", b"text,n\nhi,1\na,b,c,d\n", None, r"cannot read .*a\.csv: Error tokenizing"),
        ("a.csv", b"text,n\n", None, r"holds no text"),
        ("a.csv", b"id;text\n1;hi\n", None, r"no commas, but semicolons: 'id;text'; put commas"),
        ("a.csv", b'\n"id";"text"\n1;hi\n', None, r"no commas, but semicolons"),
        ("a.csv", b"\xef\xbb\xbfid\ttext\n1\thi\n", None, r"but tabs.*rename it to end in \.tsv"),
        (
            "a.csv.gz",
            gzip.compress(b"id;text\n1;hi\n", mtime=0),
            None,
            r"no commas, but semicolons",
        ),
        ("a.tsv", b"id,text\n1,hi\n", None, r"no tabs, but commas.*rename it to end in \.csv"),
        ("a.tsv", b"id;text\n1;hi\n", None, r"no tabs, but semicolons"),
        (
            "a.csv",
            b"text,label\nalpha one,x,\nbeta two,y,\n",
            None,
            r"more fields than the header: quote",
        ),
        (
            "a.csv",
            b"text\nfoo, bar\nbaz, qux\n",
            None,
            r"cannot read .*a\.csv: a row has more fields",
        ),
        ("a.txt", "é".encode("latin-1"), None, r"not UTF-8"),
        ("a.txt", "some text".encode("utf-16"), None, r"not UTF-8"),
        ("a.txt", b"a\0b", None, r"NUL"),
        ("a.bin", bytes(range(256)), None, r"cannot read .*a\.bin"),
        ("a.txt", b"", None, r"a\.txt holds no text"),
        ("a.jsonl", b"", None, r"a\.jsonl holds no text"),
        ("a.txt", b" \n\n\t \n", None, r"holds no text"),
        ("a.txt.gz", TRUNCATED, None, r"cannot read .*Compressed file"),
        ("a.txt.gz", b"plain", None, r"cannot read .*Not a gzipped file"),
        ("a.parquet", FORMATS["rows.parquet"][:-20], None, r"cannot read .*magic bytes"),
        ("a.parquet", b"nope", None, r"cannot read .*a\.parquet"),
    ],
)
def test_an_unusable_file_ends_in_one_line_and_prints_nothing(
    tmp_path, capfd, name, data, column, message
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        load_corpus(str(tmp_path / name), text_column=column)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_folder_with_nothing_readable_lists_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing was found"):
        load_corpus(str(tmp_path))
    (tmp_path / "a.pdf").touch()
    (tmp_path / "b.docx").touch()
    with pytest.raises(InputError, match=r"must hold .*\.jsonl.*only \.docx, \.pdf was found"):
        load_corpus(str(tmp_path))


def test_a_file_called_like_a_preset_is_read_by_its_path(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c4").write_text("mine")
    assert texts(load_corpus("./c4")) == ["mine"]


@pytest.mark.parametrize("source", ["", "nowhere.txt", "wikitext", "x" * 5000, "a\0b"])
def test_an_unknown_source_lists_the_presets(source: str) -> None:
    with pytest.raises(InputError, match=r"one of wikitext2, c4, fineweb-edu, demo, but got"):
        load_corpus(source)


def test_a_corpus_of_no_documents_cannot_be_asked_for() -> None:
    with pytest.raises(InputError, match=r"`max_documents` must be at least 1, but got 0"):
        load_corpus("demo", max_documents=0)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    path.chmod(0)
    with pytest.raises(InputError, match=r"cannot read .*Permission denied"):
        load_corpus(str(path))


def test_reading_leaves_the_settings_of_datasets_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines_of(ROWS))
    datasets.enable_progress_bars()
    level = datasets.logging.get_verbosity()
    load_corpus(str(tmp_path / "a.jsonl"))
    assert not datasets.are_progress_bars_disabled()
    assert datasets.logging.get_verbosity() == level


READ_IN_A_FRESH_PROCESS = """
import sys
from evop_deap.calibration import load_corpus
from evop_deap.base.errors import InputError
assert not {"torch", "datasets", "transformers"} & set(sys.modules), "heavy import"
try:
    print(len(load_corpus(sys.argv[1]).documents))
except InputError as error:
    print(error)
"""


def read_elsewhere(source: str, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", READ_IN_A_FRESH_PROCESS, source],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.strip(), done.stderr


def test_local_files_need_neither_the_hub_nor_a_writable_home(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_bytes(lines_of(ROWS))
    not_a_folder = tmp_path / "file"
    not_a_folder.touch()
    home = str(not_a_folder / "home")
    printed = read_elsewhere(str(data), HF_HUB_OFFLINE="1", HF_HOME=home, HOME=home)
    assert printed == ("3", "")


def test_a_broken_file_makes_the_libraries_print_nothing_either(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_bytes(b'{"text": "a"}\n{"text":')
    told, printed = read_elsewhere(str(data))
    assert told.startswith("`corpus`: cannot read ")
    assert printed == ""


@pytest.mark.parametrize("streamed", [True, False])
def test_a_preset_gives_documents_whether_its_rows_are_lines_or_texts(
    tmp_path, monkeypatch, capfd, streamed
) -> None:
    # A folder stands in for the repository: `datasets` reads either the same way.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    articles, rows = tmp_path / "articles", tmp_path / "rows"
    articles.mkdir()
    rows.mkdir()
    (articles / "train.txt").write_text("\n = A = \n\n one \n\n = B = \n\n two \n")
    (rows / "train.jsonl").write_bytes(lines_of([{"text": f"row {n}"} for n in range(9)]))
    for name, folder, lines in (("wikitext2", articles, True), ("c4", rows, False)):
        preset = Preset(str(folder), "default", streamed=streamed, lines=lines, documents=4)
        monkeypatch.setitem(PRESETS, name, preset)
    assert texts(load_corpus("wikitext2")) == [" = A =\n\n one", " = B =\n\n two"]
    assert ids(load_corpus("c4")) == ["c4#0", "c4#1", "c4#2", "c4#3"]
    assert texts(load_corpus("c4", max_documents=2)) == ["row 0", "row 1"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("preset", ["wikitext2", "c4", "fineweb-edu"])
def test_a_preset_offline_ends_in_one_clear_line(tmp_path: Path, preset: str) -> None:
    told, printed = read_elsewhere(preset, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert f"`corpus` {preset} could not be read from the hub" in told
    assert "\n" not in told
    assert printed == ""


def test_an_unreachable_hub_is_told_at_once_without_retries(tmp_path: Path) -> None:
    started = time.monotonic()
    told, printed = read_elsewhere(
        "c4",
        HF_HUB_OFFLINE="0",
        HF_HOME=str(tmp_path),
        HF_ENDPOINT="http://127.0.0.1:9",
        NO_PROXY="127.0.0.1",
    )
    assert "`corpus` c4 could not be read from the hub" in told
    assert "\n" not in told
    assert printed == ""
    assert time.monotonic() - started < 15  # the library's own retries take over 20


WIKITEXT = """ \n = First = \n \n Text one . \n \n = = Section = = \n \n More . \n
 = 1 rad = \n not a title . \n \n = Second ( film ) = \n \n Text two . \n \n = = = Deep = = = \n"""


def test_wikitext_titles_start_documents_and_sections_do_not() -> None:
    first, second = split_text(WIKITEXT)
    assert first.startswith(" = First = ")
    assert "= = Section = =" in first
    assert "not a title" in first
    assert second.startswith(" = Second ( film ) = ")
    assert second.endswith("= = = Deep = = =")


def test_wikitext_without_blank_lines_is_not_cut_at_its_legends() -> None:
    text = " = One = \n text GP \n = Games Played ; TOI = \n more \n = Two = \n text \n"
    assert [part.splitlines()[0] for part in split_text(text)] == [" = One = ", " = Two = "]


def test_what_stands_before_the_first_title_is_a_document() -> None:
    assert split_text("foreword\n = A = \nx\n = B = \ny\n") == [
        "foreword",
        " = A = \nx",
        " = B = \ny",
    ]


def test_a_single_title_does_not_make_a_wikitext() -> None:
    assert split_text("foreword\n\n= Only =\n\ntext") == ["foreword\n\n= Only =\n\ntext"]


@pytest.mark.parametrize(("joint", "length"), [("\n\n", 700), ("\n", 700), (" \n \n", 900)])
def test_paragraphs_are_merged_into_passages(joint: str, length: int) -> None:
    paragraphs = [f"{number} " + "x" * length for number in range(20)]
    passages = split_text(joint.join(paragraphs))
    assert len(passages) >= 6
    assert all(PASSAGE_CHARACTERS <= len(p) < 2 * PASSAGE_CHARACTERS + length for p in passages)
    assert " ".join(" ".join(passages).split()) == " ".join(paragraphs)


@pytest.mark.parametrize("word", ["word ", "長い文"])
def test_one_very_long_line_still_comes_apart(word: str) -> None:
    text = (word * 20_000).strip()
    passages = split_text(text)
    assert len(passages) > 10
    assert max(map(len, passages)) < 4 * PASSAGE_CHARACTERS
    assert "".join("".join(passages).split()) == "".join(text.split())
    if word.endswith(" "):
        assert {piece for passage in passages for piece in passage.split()} == {"word"}


@given(
    st.lists(
        st.sampled_from(
            ["a" * 1500, "bé ", "\n", "\n\n", " = T = ", " = = S = = ", "\t", "x" * 9000]
        )
    ).map("".join)
)
def test_splitting_loses_nothing_but_white_space(text: str) -> None:
    documents = split_text(text)
    assert "".join("".join(documents).split()) == "".join(text.split())
    assert all(document.strip() for document in documents)


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan"])
def test_words_that_pandas_takes_for_nothing_are_texts(tmp_path: Path, word: str) -> None:
    (tmp_path / "words.csv").write_text(f"text\nhello\n{word}\n")
    corpus = load_corpus(str(tmp_path / "words.csv"))
    assert [document.text for document in corpus.documents] == ["hello", word]


HAS_ZSTD = importlib.util.find_spec("zstandard") is not None


@pytest.mark.skipif(HAS_ZSTD, reason="zstandard is installed")
def test_zstandard_is_asked_for_where_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(InputError, match="pip install zstandard"):
        load_corpus(str(tmp_path / "b.jsonl.zst"))
    (tmp_path / "a.jsonl").write_bytes(lines_of(ROWS))
    corpus = load_corpus(str(tmp_path))
    assert len(corpus.documents) == 3
    assert corpus.skipped == ("b.jsonl.zst",)


@pytest.mark.skipif(not HAS_ZSTD, reason="zstandard is not installed")
def test_zstandard_is_unpacked(tmp_path: Path) -> None:
    import zstandard

    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(lines_of(ROWS)))
    assert texts(load_corpus(str(tmp_path))) == ["alpha one", "beta two", "gamma three"]


def test_files_of_a_cloned_data_set_that_hold_no_text_are_skipped_and_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / ".gitattributes").write_text("*.jsonl filter=lfs")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# A data set\n")
    (tmp_path / "LICENSE.txt").write_text("Permission is granted")
    (tmp_path / "dataset_infos.json").write_text('{"default": {"splits": {}}}')
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "data" / "a.jsonl").write_bytes(lines_of(ROWS))
    corpus = load_corpus(str(tmp_path))
    assert texts(corpus) == ["alpha one", "beta two", "gamma three"]
    assert corpus.skipped == ("LICENSE.txt", "README.md", "dataset_infos.json", "picture.png")
    assert corpus.left_out.startswith("skipped LICENSE.txt, README.md")


def test_the_readme_of_a_folder_of_texts_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("About it.")
    (tmp_path / "more.md").write_text("More of it.")
    corpus = load_corpus(str(tmp_path))
    assert texts(corpus) == ["About it.", "More of it."]
    assert (corpus.skipped, corpus.left_out) == ((), "")


@pytest.mark.parametrize("name", ["rows", "rows.dat", "rows.jsonl.1"])
def test_json_lines_under_another_name_are_no_prose(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(lines_of(ROWS))
    with pytest.raises(InputError, match="holds JSON objects, so rename it to end in .jsonl"):
        load_corpus(str(tmp_path / name))


def test_a_saved_data_set_is_read(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list([*ROWS, {"text": "delta"}]).select([2, 0, 1])
    rows.save_to_disk(str(tmp_path / "saved"))
    corpus = load_corpus(str(tmp_path / "saved"))
    assert texts(corpus) == ["gamma three", "alpha one", "beta two"]
    assert ids(corpus)[0] == "saved#0"
    check_corpus(str(tmp_path / "saved"))
    both = datasets.DatasetDict({"test": rows.select([0]), "train": rows})
    both.save_to_disk(str(tmp_path / "both"))
    assert len(load_corpus(str(tmp_path / "both")).documents) == 3
    assert len(load_corpus(str(tmp_path / "both" / "test")).documents) == 1
    datasets.DatasetDict({"a": rows, "b": rows}).save_to_disk(str(tmp_path / "many"))
    with pytest.raises(InputError, match=r"several splits: name one of them \(.*many/a, "):
        load_corpus(str(tmp_path / "many"))


def test_saved_data_sets_below_a_folder_are_told_and_their_descriptions_are_no_text(
    tmp_path: Path,
) -> None:
    rows = datasets.Dataset.from_list(ROWS)
    for name in ("one", "two"):
        rows.save_to_disk(str(tmp_path / name))
    with pytest.raises(InputError, match="must hold"):
        load_corpus(str(tmp_path))
    (tmp_path / "a.txt").write_text("A text.")
    corpus = load_corpus(str(tmp_path))
    assert texts(corpus) == ["A text."]
    assert "one/state.json" in corpus.skipped


def test_a_broken_saved_data_set_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    (tmp_path / "dataset_info.json").write_text("[")
    with pytest.raises(InputError, match="cannot read") as caught:
        load_corpus(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.jsonl", 'null\n{"text": "one"}\n', 1),
        ("a.ndjson", '\ufeff\n  null\n', 2),
        ("a.json", '[null, {"text": "one"}]', 1),
        ("a.jsonl", '{"text": "one"}\n' * 5000 + "null\n" * 5000, 5001),
        ("a.jsonl.xz", '{"text": "one"}\n\nnull\n', 3),
    ],
)  # fmt: skip
def test_a_row_that_is_null_is_refused_before_the_reader_crashes(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    path = tmp_path / name
    content = text.encode()
    path.write_bytes(lzma.compress(content) if name.endswith(".xz") else content)
    with pytest.raises(InputError, match=f"line {line} holds null in place of a row"):
        load_corpus(str(path))


def test_null_within_a_row_of_several_lines_is_no_row(tmp_path: Path) -> None:
    row = {"text": "one two three", "about": [None, {"more": None}, None], "last": None}
    (tmp_path / "a.json").write_text(json.dumps([row, {**row, "text": "four"}], indent=1))
    assert len(load_corpus(str(tmp_path / "a.json")).documents) == 2


def test_an_id_in_a_table_is_not_that_of_a_passage(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A passage of its own.")
    (tmp_path / "b.jsonl").write_text('{"id": "a.txt#0", "text": "A row."}\n')
    (tmp_path / "c.txt").write_text("Another passage.")
    (tmp_path / "b2.jsonl").write_text('{"id": "c.txt#0", "text": "Another row."}\n')
    ids = [document.id for document in load_corpus(str(tmp_path)).documents]
    assert len(set(ids)) == 4
