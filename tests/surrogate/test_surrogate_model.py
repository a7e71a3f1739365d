"""The kernel, its parameters and the process: against plain formulas and finite differences."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evop_deap.space import SearchSpace, Unit
from evop_deap.surrogate.acquisition import most_promising
from evop_deap.surrogate.fitting import USUAL, fit_shape, negative_log_likelihood
from evop_deap.surrogate.gaussian_process import GaussianProcess
from evop_deap.surrogate.kernel import Drops, Layout, SetKernel, Shape, as_drops
from evop_deap.surrogate.trend import Trend

BLOCKS = tuple(Unit(str(i), 1, 1) for i in range(8))
HALVES = tuple(Unit(f"{i}.{kind}", 1, 1) for i in range(4) for kind in ("attn", "mlp"))
ALL = as_drops(
    [SearchSpace(BLOCKS, 3).pattern(dropped) for dropped in itertools.combinations(range(8), 3)]
)


def shapes(powers: int = 3) -> st.SearchStrategy[Shape]:
    share, positive = st.floats(0.05, 0.95), st.floats(0.05, 2.0)
    return st.builds(
        Shape,
        st.tuples(*[positive] * powers),
        smooth=share,
        reach=st.floats(0.5, 8.0),
        kin=share,
        noise=st.floats(0.01, 0.5),
    )


def some(seed: int, count: int) -> tuple[Drops, NDArray[np.float64]]:
    """Patterns of the eight units, each once, and values of zero mean and unit spread."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=count)
    return rng.permutation(ALL)[:count], (values - values.mean()) / values.std()


@given(shapes(), st.sampled_from([BLOCKS, HALVES]))
def test_the_kernel_is_a_covariance(shape: Shape, units: tuple[Unit, ...]) -> None:
    kernel = SetKernel(Layout.of(units), shape, size=3)
    matrix = kernel(ALL, ALL)
    np.testing.assert_allclose(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > -1e-9 * matrix.max()
    np.testing.assert_allclose(np.diagonal(matrix), kernel.variance(ALL))


def test_drops_are_the_more_alike_the_nearer_they_are() -> None:
    likeness = SetKernel(Layout.of(BLOCKS), USUAL, size=1).likeness
    assert np.all(np.diff(likeness[0]) < 0)
    assert np.all(np.diagonal(likeness) == 1.0)


def test_halves_of_a_block_are_akin_and_two_of_a_kind_more() -> None:
    likeness = SetKernel(Layout.of(HALVES), USUAL, size=1).likeness
    same_kind, same_block, neither = likeness[0, 2], likeness[0, 1], likeness[0, 3]
    assert 0 < neither < min(same_kind, same_block)
    # A block away, two attention halves share what the halves of one block share times kin.
    assert same_kind / likeness[0, 3] == pytest.approx(1 / USUAL.kin)


def test_units_without_numbers_stand_in_their_order() -> None:
    layout = Layout.of(tuple(Unit(name, 1, 1) for name in ("embed", "middle", "end")))
    assert layout.distance[0].tolist() == [0, 1, 2]


@settings(max_examples=40)
@given(shapes(), st.integers(0, 99), st.sampled_from([BLOCKS, HALVES]))
def test_the_gradient_is_the_slope(shape: Shape, seed: int, units: tuple[Unit, ...]) -> None:
    drops, values = some(seed, 12)
    noise = np.random.default_rng(seed).uniform(0, 0.1, size=12)
    layout = Layout.of(units)

    def value(changed: Shape) -> float:
        return negative_log_likelihood(SetKernel(layout, changed, 3), drops, values, noise)[0]

    _, gradient = negative_log_likelihood(SetKernel(layout, shape, 3), drops, values, noise)
    step = 1e-5
    for place, (up, down) in enumerate(
        zip(_nudged(shape, step), _nudged(shape, -step), strict=True)
    ):
        slope = (value(up) - value(down)) / (2 * step)
        assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def _nudged(shape: Shape, step: float) -> list[Shape]:
    """The shape with each parameter moved on its own scale."""
    moved = [
        dataclasses.replace(
            shape,
            variances=tuple(
                v * math.exp(step) if place == at else v for place, v in enumerate(shape.variances)
            ),
        )
        for at in range(len(shape.variances))
    ]

    def shifted(share: float) -> float:
        return 1 / (1 + (1 - share) / share * math.exp(-step))

    return [
        *moved,
        dataclasses.replace(shape, smooth=shifted(shape.smooth)),
        dataclasses.replace(shape, reach=shape.reach * math.exp(step)),
        dataclasses.replace(shape, kin=shifted(shape.kin)),
        dataclasses.replace(shape, noise=shape.noise * math.exp(step)),
    ]


@settings(max_examples=25)
@given(st.integers(0, 99), st.integers(1, 3))
def test_fitting_makes_what_was_seen_more_probable(seed: int, powers: int) -> None:
    drops, values = some(seed, 20)
    layout = Layout.of(BLOCKS)
    usual = dataclasses.replace(USUAL, variances=USUAL.variances[:powers])
    fitted = fit_shape(layout, drops, values, np.zeros(20), size=3, powers=powers)
    assert len(fitted.variances) == powers
    before, after = (
        negative_log_likelihood(SetKernel(layout, shape, 3), drops, values, np.zeros(20))[0]
        for shape in (usual, fitted)
    )
    assert after <= before + 1e-9


def test_fitting_tells_single_effects_from_noise() -> None:
    rng = np.random.default_rng(0)
    effects = rng.normal(size=8)
    additive, noise = ALL @ effects, rng.normal(size=len(ALL))
    quiet, loud = (
        fit_shape(
            Layout.of(BLOCKS), ALL, (v - v.mean()) / v.std(), np.zeros(len(ALL)), size=3, powers=3
        )
        for v in (additive, noise)
    )
    assert quiet.noise < 0.01 < 0.5 < loud.noise


@given(shapes(), st.integers(0, 99))
def test_predictions_are_those_of_the_plain_formula(shape: Shape, seed: int) -> None:
    drops, values = some(seed, 15)
    values = 3.0 + 2.0 * values
    noise = np.random.default_rng(seed).uniform(0, 0.2, size=15)
    kernel = SetKernel(Layout.of(BLOCKS), shape, size=3)
    process = GaussianProcess(kernel, drops, values, noise)
    mean, covariance = process.predict(ALL[:20])
    scaled = (values - values.mean()) / values.std()
    matrix = kernel(drops, drops) + np.diag(shape.noise + noise / values.var())
    across = kernel(ALL[:20], drops)
    plain = values.mean() + values.std() * across @ np.linalg.solve(matrix, scaled)
    np.testing.assert_allclose(mean, plain, atol=1e-8)
    spread = kernel(ALL[:20], ALL[:20]) - across @ np.linalg.solve(matrix, across.T)
    np.testing.assert_allclose(covariance, values.var() * spread, atol=1e-8)


@settings(max_examples=25)
@given(shapes(), st.integers(0, 99))
def test_leaving_one_out_is_predicting_it_from_the_others(shape: Shape, seed: int) -> None:
    drops, values = some(seed, 9)
    noise = np.random.default_rng(seed).uniform(0, 0.2, size=9)
    kernel = SetKernel(Layout.of(BLOCKS), shape, size=3)
    foreseen, variance = GaussianProcess(kernel, drops, values, noise).leave_one_out()
    for out in range(9):
        rest = np.arange(9) != out
        matrix = kernel(drops[rest], drops[rest]) + np.diag(shape.noise + noise[rest])
        across = kernel(drops[out : out + 1], drops[rest])
        assert foreseen[out] == pytest.approx(
            float((across @ np.linalg.solve(matrix, values[rest]))[0]), abs=1e-8
        )
        unexplained = kernel.variance(drops[out : out + 1]) - np.diag(
            across @ np.linalg.solve(matrix, across.T)
        )
        assert variance[out] == pytest.approx(float(unexplained[0]) + shape.noise + noise[out])


def test_equal_values_are_foreseen_as_they_are() -> None:
    kernel = SetKernel(Layout.of(BLOCKS), USUAL, size=3)
    process = GaussianProcess(kernel, ALL[:5], np.full(5, 2.5), np.zeros(5))
    mean, covariance = process.predict(ALL[5:7])
    assert mean.tolist() == [2.5, 2.5]
    assert np.isfinite(covariance).all()


@settings(max_examples=30)
@given(st.integers(0, 99), st.integers(0, 12), st.floats(0.0, 3.0))
def test_each_choice_is_made_as_if_those_before_had_been_evaluated(
    seed: int, count: int, weight: float
) -> None:
    drops, values = some(seed, 12)
    kernel = SetKernel(Layout.of(BLOCKS), USUAL, size=3)
    process = GaussianProcess(kernel, drops, values, np.zeros(12))
    proposals = ALL[-10:]
    mean, covariance = process.predict(proposals)
    chosen = most_promising(mean, covariance, count, noise=USUAL.noise, weight=weight)
    assert len(chosen) == len(set(chosen)) == min(count, 10)
    for turn, place in enumerate(chosen):
        before = chosen[:turn]
        known = np.vstack([drops, proposals[before]])
        matrix = kernel(known, known) + USUAL.noise * np.eye(len(known))
        across = kernel(proposals, known)
        left = kernel.variance(proposals) - np.diag(across @ np.linalg.solve(matrix, across.T))
        bound = mean - weight * np.sqrt(np.maximum(left, 0))
        free = [other for other in range(10) if other not in before]
        assert bound[place] <= bound[free].min() + 1e-7
        first = [*before, *free]  # those before are pending
        later = most_promising(
            mean[first],
            covariance[np.ix_(first, first)],
            count - turn,
            noise=USUAL.noise,
            weight=weight,
            pending=turn,
        )
        assert bound[first[later[0]]] <= bound[free].min() + 1e-7


def test_values_vary_about_their_mean_where_all_patterns_drop_as_many_and_about_a_line_else() -> (
    None
):
    drops, values = np.eye(4), np.array([0.3, 0.1, 0.7, 0.2])
    assert Trend.through(drops, values) == Trend(float(values.mean()))
    many = np.tril(np.ones((4, 4)))
    assert Trend.through(many, 1.0 + 2.0 * np.log([1, 2, 3, 4]))(many) == pytest.approx(
        1.0 + 2.0 * np.log([1, 2, 3, 4])
    )
