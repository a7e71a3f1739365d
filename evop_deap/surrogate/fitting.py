"""Maximum-a-posteriori estimation of the kernel's parameters.

The objective is the marginal likelihood (Rasmussen and Williams 2006, section 5.4.1) with a weak
prior around usual values, so that few observations cannot mislead the fit. The gradient is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evop_deap.surrogate.kernel import Drops, Layout, SetKernel, Shape

USUAL = Shape((0.5, 0.3, 0.1))
_WIDTHS = {"variance": 1.5, "smooth": 1.0, "reach": 0.7, "kin": 1.0, "noise": 1.5}
_FARTHEST = 5  # widths of the prior
_STEPS = 25


def fit_shape(
    layout: Layout,
    drops: Drops,
    values: NDArray[np.float64],
    noise: NDArray[np.float64],
    *,
    size: float,
    powers: int,
) -> Shape:
    """Return the most probable parameters of a kernel with `powers` powers.

    Args:
        layout: distances and kinds of the units.
        drops: (observations, units) patterns seen.
        values: (observations,) values with zero mean and unit variance.
        noise: (observations,) variance of each value's own error.
        size: number of drops of a typical pattern.
        powers: degree of the kernel; 1 has no interactions.
    """
    from scipy.optimize import minimize

    usual = _encoded(Shape(USUAL.variances[:powers], **_others(USUAL)))
    widths = np.array([_WIDTHS["variance"]] * powers + [_WIDTHS[n] for n in _others(USUAL)])

    def objective(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        kernel = SetKernel(layout, _decoded(theta, powers), size)
        value, gradient = negative_log_likelihood(kernel, drops, values, noise)
        off = (theta - usual) / widths
        return value + 0.5 * float(off @ off), gradient + off / widths

    # A line search may try extreme values: the bounds keep exponentials from overflowing.
    bounds = list(zip(usual - _FARTHEST * widths, usual + _FARTHEST * widths, strict=True))
    found = minimize(
        objective, usual, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}
    )
    return _decoded(found.x if np.isfinite(found.fun) else usual, powers)


def negative_log_likelihood(
    kernel: SetKernel, drops: Drops, values: NDArray[np.float64], noise: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the negative log marginal likelihood of `values`, and its gradient.

    The gradient is in the logarithms of variances, reach and noise, and in the logits of shares.
    """
    shape, count = kernel.shape, len(values)
    inner = kernel.inner(drops, drops)
    powers = [inner]
    for _ in shape.variances[1:]:
        powers.append(powers[-1] * inner)
    covariance = sum(v * power for v, power in zip(shape.variances, powers, strict=True))
    try:
        factor = np.linalg.cholesky(covariance + np.diag(shape.noise + noise)).astype(np.float64)
    except np.linalg.LinAlgError:
        return math.inf, np.zeros(len(shape.variances) + 4)
    inverse = _inverse_of(factor)
    weights = inverse @ values
    value = (
        0.5 * float(values @ weights)
        + float(np.log(np.diagonal(factor)).sum())
        + 0.5 * count * math.log(2 * math.pi)
    )
    # Gradient: half the trace of this times the derivative of the covariance (eq. 5.9).
    slope = 0.5 * (inverse - np.outer(weights, weights))
    gradient = [float((slope * v * p).sum()) for v, p in zip(shape.variances, powers, strict=True)]
    outer = slope * sum(
        v * (order + 1) * (powers[order - 1] if order else 1.0)
        for order, v in enumerate(shape.variances)
    )
    by_unit = drops.T @ outer @ drops / kernel.size  # (units, units) gradient in the likeness
    near = np.exp(-kernel.layout.distance / shape.reach)
    related = np.where(kernel.layout.akin, 1.0, shape.kin)
    smooth = near * related - np.eye(len(near))
    reach = shape.smooth * near * related * kernel.layout.distance / shape.reach
    kin = shape.smooth * near * ~kernel.layout.akin
    gradient += [
        float((by_unit * smooth).sum()) * shape.smooth * (1 - shape.smooth),
        float((by_unit * reach).sum()),
        float((by_unit * kin).sum()) * shape.kin * (1 - shape.kin),
        float(np.trace(slope)) * shape.noise,
    ]
    return value, np.array(gradient)


def _inverse_of(factor: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.linalg import lapack

    inverse, _ = lapack.dpotri(factor, lower=1)
    whole: NDArray[np.float64] = np.tril(inverse) + np.tril(inverse, -1).T
    return whole


def _others(shape: Shape) -> dict[str, float]:
    return {
        "smooth": shape.smooth,
        "reach": shape.reach,
        "kin": shape.kin,
        "noise": shape.noise,
    }


def _encoded(shape: Shape) -> NDArray[np.float64]:
    return np.array(
        [
            *map(math.log, shape.variances),
            _logit(shape.smooth),
            math.log(shape.reach),
            _logit(shape.kin),
            math.log(shape.noise),
        ]
    )


def _decoded(theta: Sequence[float] | NDArray[np.float64], powers: int) -> Shape:
    smooth, reach, kin, noise = (float(value) for value in theta[powers:])
    return Shape(
        tuple(math.exp(value) for value in theta[:powers]),
        smooth=_logistic(smooth),
        reach=math.exp(reach),
        kin=_logistic(kin),
        noise=max(math.exp(noise), 1e-6),
    )


def _logit(share: float) -> float:
    return math.log(share / (1.0 - share))


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))
