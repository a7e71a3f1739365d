"""Rehearsals kept by content: a removal that worked is not tried again on the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_models import anatomy_of, toy_model
from transformers import PreTrainedModel

from evop_deap.base.errors import UnsupportedModelError
from evop_deap.models.loading.fingerprint import fingerprint_model
from evop_deap.models.surgery import kept_rehearsal
from evop_deap.models.surgery.kept_rehearsal import Check, kept_check
from evop_deap.models.surgery.set_rehearsal import find_constraints


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The removals that were tried on a model."""
    tried: list[tuple[int, ...]] = []
    real = kept_rehearsal.check_removable

    def counting(model: Any, anatomy: Any, dropped: Any) -> None:
        tried.append(tuple(dropped))
        real(model, anatomy, dropped)

    monkeypatch.setattr(kept_rehearsal, "check_removable", counting)
    return tried


def check_of(model: PreTrainedModel, folder: Path | None, parts: str = "block") -> Check:
    return kept_check(model, anatomy_of(model, parts), fingerprint_model(model), folder)


def test_a_removal_that_worked_is_not_tried_again(tmp_path: Path, rehearsed: list[Any]) -> None:
    for _ in range(2):
        check = check_of(toy_model("llama"), tmp_path)
        check([0])
        check([1, 2])
        check([1, 2])
    assert rehearsed == [(0,), (1, 2)]
    without = check_of(toy_model("llama"), None)
    without([0])
    assert rehearsed[2:] == [(0,)]


def test_other_units_weights_dtypes_or_attention_are_tried(
    tmp_path: Path, rehearsed: list[Any]
) -> None:
    model = toy_model("llama")
    check_of(model, tmp_path)([1])
    check_of(model, tmp_path)([2])
    check_of(model, tmp_path, "half")([2])
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1
    check_of(model, tmp_path)([1])
    model.set_attn_implementation("eager")
    check_of(model, tmp_path)([1])
    check_of(toy_model("llama").to(torch.float64), tmp_path)([1])
    assert rehearsed == [(1,), (2,), (2,), (1,), (1,), (1,)]


def test_a_damaged_answer_is_no_answer(tmp_path: Path, rehearsed: list[Any]) -> None:
    check_of(toy_model("llama"), tmp_path)([1])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    check_of(toy_model("llama"), tmp_path)([1])
    assert rehearsed == [(1,), (1,)]
    assert path.read_bytes() == whole


def test_a_refusal_is_tried_again_and_says_the_same(tmp_path: Path, rehearsed: list[Any]) -> None:
    said = set()
    for _ in range(2):
        with pytest.raises(UnsupportedModelError) as refused:
            check_of(toy_model("lfm2"), tmp_path)([1, 4])
        said.add(str(refused.value))
    assert len(said) == 1
    assert rehearsed == [(1, 4), (1, 4)]


def test_code_that_is_not_of_transformers_is_always_tried(
    tmp_path: Path, rehearsed: list[Any]
) -> None:
    class Own(torch.nn.Linear):
        """A module whose code may change between two runs."""

    model = toy_model("llama")
    head: Any = model.get_output_embeddings()
    head.__class__ = Own
    for _ in range(2):
        check_of(model, tmp_path)([1])
    assert rehearsed == [(1,), (1,)]
    assert not list(tmp_path.iterdir())


def test_constraints_of_a_hybrid_are_the_same_with_known_rehearsals(tmp_path: Path) -> None:
    model = toy_model("lfm2")
    anatomy = anatomy_of(model)
    anew = find_constraints(model, anatomy, range(5), 4)
    cold, warm = (
        find_constraints(model, anatomy, range(5), 4, check_of(model, tmp_path)) for _ in range(2)
    )
    assert anew == cold == warm
    assert anew
