"""Answers kept by what they depend on: the same bits come back, or nothing does."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evop_deap.base.kept_answers import KeptAnswer, KeptAnswers

LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    LEAVES | NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
ARRAYS = st.dictionaries(
    st.sampled_from(["labels", "coordinates", "value"]),
    arrays(np.float32, (3, 2), elements=st.floats(width=32)) | arrays(np.int64, 4),
)
QUESTION = {"model": "a1", "dropped": [3, 4], "seed": 0}


@given(depends_on=st.dictionaries(st.text(max_size=4), JSON), value=JSON, content=ARRAYS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_kept_comes_back_bit_for_bit(
    tmp_path: Path, depends_on: dict[str, Any], value: Any, content: dict[str, Any]
) -> None:
    kept = KeptAnswers(tmp_path)
    kept.keep(depends_on, KeptAnswer(value, content))
    found = kept.recall(depends_on)
    assert found is not None
    assert repr(found.value) == repr(value)
    assert set(found.arrays) == set(content)
    for name, array in content.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "other",
    [
        {"model": "a2", "dropped": [3, 4], "seed": 0},
        {"model": "a1", "dropped": [4, 3], "seed": 0},
        {"model": "a1", "dropped": [3, 4], "seed": 0.5},
        {"model": "a1", "dropped": [3, 4]},
        {},
    ],
)
def test_an_answer_to_another_question_is_not_used(tmp_path: Path, other: dict[str, Any]) -> None:
    kept = KeptAnswers(tmp_path)
    kept.keep(QUESTION, KeptAnswer("yes"))
    assert kept.recall(other) is None


def test_a_file_under_the_name_of_another_question_is_not_used(tmp_path: Path) -> None:
    kept = KeptAnswers(tmp_path)
    kept.keep(QUESTION, KeptAnswer("yes"))
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.unlink()
    kept.keep({"model": "b"}, KeptAnswer("no"))
    (other,) = tmp_path.iterdir()
    other.write_bytes(content)
    assert kept.recall({"model": "b"}) is None


def test_a_file_with_any_byte_changed_or_cut_off_is_not_trusted(tmp_path: Path) -> None:
    kept, right = KeptAnswers(tmp_path), KeptAnswer(["yes"], {"labels": np.arange(3)})
    kept.keep(QUESTION, right)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for place in range(0, len(whole), 11):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        for content in (bytes(changed), whole[:place]):
            path.write_bytes(content)
            found = kept.recall(QUESTION)
            assert found is None or (
                found.value == ["yes"] and found.arrays["labels"].tolist() == [0, 1, 2]
            )
    kept.keep(QUESTION, right)
    assert path.read_bytes() == whole


class _Boom:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was loaded",))


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    kept = KeptAnswers(tmp_path)
    kept.keep(QUESTION, KeptAnswer("yes"))
    (path,) = tmp_path.iterdir()
    path.write_bytes(pickle.dumps(_Boom()))
    assert kept.recall(QUESTION) is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    kept = KeptAnswers(tmp_path / "file")
    kept.keep(QUESTION, KeptAnswer("yes"))
    assert kept.recall(QUESTION) is None
    assert (tmp_path / "file").read_text() == "mine"
