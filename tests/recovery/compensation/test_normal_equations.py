from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from evop_deap.recovery.compensation.normal_equations import NormalEquations, Rows, best_ridge


def _rows(inputs: Any, errors: Any, weights: Any = None) -> Rows:
    x, e = torch.as_tensor(inputs), torch.as_tensor(errors)
    return Rows(x, e, torch.ones(len(x)) if weights is None else torch.as_tensor(weights))


@given(st.integers(1, 6), st.integers(1, 4), st.booleans(), st.integers(0, 99))
def test_they_are_least_squares_over_all_tokens(
    inputs: int, outputs: int, intercept: bool, seed: int
):
    rng = np.random.default_rng(seed)
    x, e = rng.normal(size=(40, inputs)), rng.normal(size=(40, outputs))
    w = rng.uniform(0.1, 2.0, size=40)
    equations = NormalEquations(intercept=intercept)
    for part in range(4):
        rows = slice(10 * part, 10 * part + 10)
        equations.add(_rows(x[rows], e[rows], w[rows]))
    columns = np.hstack([x, np.ones((40, 1))]) if intercept else x
    expected, *_ = np.linalg.lstsq(w[:, None] * columns, w[:, None] * e, rcond=None)
    found = equations.solve(0.0)
    assert found is not None
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7, atol=1e-9)


def test_the_ridge_holds_the_change_back_and_leaves_the_offset_free():
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    equations = NormalEquations(intercept=True)
    equations.add(_rows(x - x.mean(0), 2 * (x - x.mean(0)) + 5))
    found = equations.solve(1e9)
    assert found is not None
    assert float(found[:-1].abs().max()) < 1e-6
    torch.testing.assert_close(found[-1], torch.full((3,), 5.0, dtype=torch.float64))


def test_singular_equations_have_no_solution_without_a_ridge():
    x = torch.ones(9, 2)
    equations = NormalEquations()
    equations.add(_rows(x, x))
    assert equations.solve(0.0) is None
    assert equations.solve(0.1) is not None


def test_the_ridge_that_leaves_least_on_tokens_kept_aside_is_chosen():
    generator = torch.Generator().manual_seed(1)
    truth = torch.randn(8, 2, generator=generator)

    def drawn(rows: int) -> Rows:
        x = torch.randn(rows, 8, generator=generator)
        return _rows(x, x @ truth + 3 * torch.randn(rows, 2, generator=generator))

    equations = NormalEquations()
    equations.add(drawn(12))
    aside = [drawn(300), drawn(300)]
    chosen = best_ridge(equations, aside)
    assert chosen is not None
    for ridge in (1e-7, 1e-2, 1.0):
        values = equations.solve(ridge)
        assert values is not None
        left = sum(equations.remaining(values, rows) for rows in aside)
        assert chosen.remaining <= left
    by_some = best_ridge(equations, aside, every=2)
    assert by_some is not None
    assert torch.equal(by_some.values, equations.solve(by_some.ridge))  # all outputs
    assert by_some.remaining < chosen.remaining
    assert chosen.ridge > 1e-7  # twelve noisy tokens for eight inputs
