"""Losses that are not finite, and the figures that people read."""

from __future__ import annotations

import json
import math

import pytest

from evop_deap.base.formatting import counted, figure, listed, mebibytes, millions, number, plural
from evop_deap.base.numbers import (
    exponential,
    finite_or_none,
    finite_or_worst,
    infinite_if_none,
    perplexity,
)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_json_has_no_number_for_is_written_as_null_and_read_as_infinite(value: float) -> None:
    written = json.dumps(finite_or_none(value), allow_nan=False)
    assert written == "null"
    assert infinite_if_none(json.loads(written)) == math.inf


@pytest.mark.parametrize("value", [0.0, -1.5, 3, "text", True])
def test_everything_else_is_written_as_it_is(value: object) -> None:
    assert finite_or_none(value) is value
    assert infinite_if_none(value) is value


@pytest.mark.parametrize("value", [math.nan, -math.inf, math.inf])
def test_a_loss_that_is_no_number_is_the_worst(value: float) -> None:
    assert finite_or_worst(value) == math.inf


def test_a_perplexity_too_large_for_a_float_is_infinite_or_missing() -> None:
    assert exponential(2.0) == math.exp(2.0)
    assert exponential(800.0) == exponential(math.inf) == math.inf
    assert perplexity(2.0) == math.exp(2.0)
    assert perplexity(800.0) is None
    assert perplexity(None) is None


def test_figures_are_as_people_read_them() -> None:
    assert [figure(value) for value in (12.345, 2e5, None)] == ["12.35", "2.00e+05", "∞"]
    assert [millions(count) for count in (1234, 5.67e6, 8.03e9)] == ["1,234", "5.7 M", "8.03 B"]
    assert [mebibytes(size) for size in (2048, 3 * 2**20)] == ["2 KiB", "3.0 MiB"]
    assert [number(value) for value in (3, 0.5, 1234.5, math.inf)] == ["3", "0.5000", "1,234", "∞"]
    assert [listed(names) for names in ((), ("5",), ("5", "14", "25"))] == ["", "5", "5, 14 and 25"]
    counts = [counted(count, "window") for count in (0, 1, 2048)]
    assert counts == ["0 windows", "1 window", "2,048 windows"]
    assert [plural(granularity) for granularity in ("block", "half")] == ["blocks", "halves"]
