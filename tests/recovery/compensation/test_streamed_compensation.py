"""A model whose weights stay in their files is compensated like one in memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from own_text import own_text
from toy_models import toy_logits, toy_model, toy_tokens
from transformers import AutoModelForCausalLM
from two_devices import SECOND

from evop_deap.fitness.model.state_store import StateStore
from evop_deap.models.anatomy.find_anatomy import find_anatomy
from evop_deap.models.streaming.streamed_weights import StreamedWeights, weights_of
from evop_deap.models.streaming.transfer import HOST
from evop_deap.recovery.compensation.compensate import compensate
from evop_deap.recovery.compensation.cuts import cuts_of
from evop_deap.recovery.compensation.form_names import AUTO, SCALE
from evop_deap.recovery.compensation.side_by_side import SideBySide

ENOUGH = 2 * 24 * 128**2  # for the equations of 128 unknowns, and not for all states


def both(
    name: str, stored: torch.dtype, folder: Path, device: torch.device = HOST
) -> tuple[Any, Any]:
    """A toy that computes in float32, in memory and in its files."""
    toy_model(name).to(stored).save_pretrained(folder)
    resident = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    streamed = AutoModelForCausalLM.from_pretrained(folder, dtype=stored).eval()
    StreamedWeights(streamed, torch.float32, device)
    return resident, streamed


def named(model: Any, changes: Any) -> dict[str, torch.Tensor]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: values.float() for parameter, values in changes.items()}


@pytest.mark.parametrize(
    ("name", "stored", "dropped", "form", "device"),
    [
        ("llama-tied", torch.bfloat16, [1, 2, 5, 8], AUTO, HOST),
        ("gemma2", torch.float32, [2], AUTO, HOST),
        ("gpt2", torch.float32, [1, 2, 5, 8], AUTO, HOST),
        ("llama", torch.bfloat16, [0, 3], SCALE, HOST),
        ("llama-tied", torch.bfloat16, [2], AUTO, SECOND),
    ],
)
def test_it_finds_the_weights_that_are_found_in_memory(
    name: str,
    stored: torch.dtype,
    dropped: list[int],
    form: str,
    device: torch.device,
    tmp_path: Path,
) -> None:
    resident, streamed = both(name, stored, tmp_path / "model", device)
    granularity = "half" if len(dropped) > 2 else "block"
    text = own_text(resident, 48)
    before = [weight.data_ptr() for weight in streamed.parameters()]
    made, found = (
        compensate(
            one, find_anatomy(one, granularity), dropped, text,
            form=form, stored=stored, memory_budget=ENOUGH,
        )
        for one in (resident, streamed)
    )  # fmt: skip
    assert [weight.data_ptr() for weight in streamed.parameters()] == before
    expected, changed = named(resident, made.changes), named(streamed, found.changes)
    assert expected.keys() == changed.keys()
    assert all(torch.equal(values, expected[key]) for key, values in changed.items())
    assert (found.before, found.after) == pytest.approx((made.before, made.after), rel=1e-6)
    for cut, other in zip(found.cuts, made.cuts, strict=True):
        assert (cut.form, cut.layers, cut.distance) == (other.form, other.layers, other.distance)


def test_a_form_whose_equations_do_not_fit_is_left_out(tmp_path: Path) -> None:
    _, streamed = both("gpt2", torch.bfloat16, tmp_path / "model")
    text = own_text(toy_model("gpt2"), 48)
    anatomy = find_anatomy(streamed)
    for form in ("auto", "full"):
        (cut,) = compensate(
            streamed, anatomy, [2], text, form=form, memory_budget=ENOUGH - 1
        ).cuts  # fmt: skip
        assert cut.form == "map"
        assert cut.reason == ("full needs 384 KiB of memory, and `memory_budget` leaves 384 KiB")


def test_blocks_are_read_as_often_for_much_text_as_for_little(tmp_path: Path) -> None:
    _, streamed = both("llama", torch.bfloat16, tmp_path / "model")
    anatomy, weights = find_anatomy(streamed), weights_of(streamed)
    assert weights is not None
    read = []
    for rows in (90, 360):  # 2 batches and 5
        before = weights.reading.bytes
        compensate(streamed, anatomy, [2], toy_tokens(rows=rows, length=24).numpy(), form="map")
        read.append(weights.reading.bytes - before)
    assert read[0] == read[1]


def test_states_beyond_the_budget_go_to_a_file(tmp_path: Path) -> None:
    _, streamed = both("llama", torch.bfloat16, tmp_path / "model")
    anatomy, windows = find_anatomy(streamed), toy_tokens(rows=90, length=24)
    with torch.no_grad(), StateStore(2**15) as store:
        sides = SideBySide(streamed, anatomy, [2], windows, store)
        (cut,) = cuts_of(sides.places)
        assert [fit.name for fit in sides.advance(cut, AUTO).fits] == ["map"]
        assert math.isfinite(sides.loss(cut, {}))
        assert store.most_in_memory <= 2**15 < store.size_of_file


def test_a_second_model_with_the_changes_is_streamed(tmp_path: Path) -> None:
    resident, streamed = both("llama", torch.bfloat16, tmp_path / "model")
    text = own_text(resident, 48)
    first, second = (
        compensate(one, find_anatomy(one), [2], text, stored=torch.bfloat16).model(
            one, find_anatomy(one), [2]
        )
        for one in (resident, streamed)
    )
    assert weights_of(second) is not None
    assert torch.equal(toy_logits(second), toy_logits(first))
